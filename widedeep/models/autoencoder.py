"""Autoencoders: a user's ratings are encoded as a short code, from which the answers for all items are decoded.

The denoising one (Sedhain et al., 2015, doi:10.1145/2740908.2742726; Wu et al., 2016, doi:10.1145/2835776.2835837)
fills in ratings that were taken out of its input. The variational one (Liang et al., 2018, arXiv:1802.05814) has a
distribution of codes, which is drawn towards the standard normal one. Both learn to rank by a multinomial likelihood.

Legend: B pairs, U users, u users of a block or batch, n ratings of all of them, h held-out ratings, I items, A rated
items, R = A + 1 rows (the last for all unrated items), L ratings of a history, D width of the decoder's features.
"""

from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from widedeep.config.fields import Count, DropShare, MaybeWidths
from widedeep.config.models import ArchitectureConfig
from widedeep.data.feature_tables import Tables
from widedeep.data.histories import UserHistories, starts_of
from widedeep.models.base import Histories, MakeEmbedding
from widedeep.models.codes import Code, Decoder, Encoder
from widedeep.models.history.biases import USER_DAMPING, ItemBiases, bias_buffers, fit_biases
from widedeep.models.history.ledger import RatingLedger, fit_ledger
from widedeep.models.history_learner import NO_PENALTY, HistoryLearner, Learned
from widedeep.models.labels import DataNames, Labels
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class AutoencoderConfig(ArchitectureConfig):
    """autoencoder: a code of all that a user has rated, and a decoder of all items; denoising or variational."""

    name: Literal["autoencoder"] = "autoencoder"
    variational: bool = Field(default=False, description="whether a code is a distribution: a variational autoencoder")
    inputs: Literal["ratings", "implicit"] = Field(
        default="ratings", description="what is read of a history: the ratings, or only which items were rated"
    )
    embedding_dim: Count = Field(default=128, ge=1, description="width of the code")
    hidden: MaybeWidths = Field(
        default=(), description="widths of the encoder's hidden layers; the decoder has the same in reverse; none: none"
    )
    held_out: DropShare = Field(default=0.5, description="share of a history that a training step holds out")
    beta: float = Field(default=0.2, ge=0, description="variational: final weight of the divergence of codes")
    anneal_steps: Count = Field(default=500, ge=1, description="variational: steps over which that weight rises from 0")


class _Read(NamedTuple):
    """Histories as the encoder reads them."""

    start: Tensor  # [u + 1] int64
    row: Tensor  # [n] int64, all of rated items
    residual: Tensor  # [n] float32, rating - mean - user bias - item bias
    expected: Tensor  # [u] float32, mean + user bias


class Autoencoder(HistoryLearner):
    """affinity = features of the code . item + appeal of the item; rating = biases + features of the code . item.

    An encoding of a user is [features | mean + user bias]; one of an item is [affinity | appeal | rating | bias].
    """

    config_class = AutoencoderConfig
    affinity_is_rating = False
    default_loss = "joint"

    trained: Tensor  # [] int64, training steps so far

    def __init__(
        self,
        config: AutoencoderConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers. A step answers for all items, so no table is sharded by `embedding`."""
        super().__init__()
        self.config, self.shape, self.scale = config, shape, scale
        self.ledger, self.biases = RatingLedger(shape), ItemBiases(shape["rows"])
        sd, width = config.embedding_sd, config.embedding_dim
        reads_ratings = config.inputs == "ratings" and not scale.implicit
        into = (*config.hidden, 2 * width if config.variational else width)
        self.encoder = Encoder(shape["rows"] - 1, into, reads_ratings, config.embedding_dropout, sd)
        direct = config.variational and len(config.hidden) > 0
        self.decoder = Decoder(shape["rows"], (width, *reversed(config.hidden)), direct, sd)
        self.register_buffer("trained", torch.zeros((), dtype=torch.int64))

    @classmethod
    def from_tables(cls, config: Any, tables: Tables, embedding: MakeEmbedding = RowEmbedding) -> "Autoencoder":
        """Fit the biases, and build the network untrained: it ranks by popularity."""
        shape, ledger, (user, row, rating) = fit_ledger(tables)
        mean, _, bias = fit_biases(user, row, rating, (shape["users"], shape["rows"]))
        model = cls(config, shape, tables.scale, embedding)
        model.ledger.load_state_dict(ledger)
        model.biases.load_state_dict(bias_buffers(row, mean, bias))
        with torch.no_grad():
            model.decoder.appeal.copy_(model.biases.count.clamp(min=1.0).log())
        model.fill_cold_rows()
        return model

    def fill_cold_rows(self) -> None:
        """Put unrated items below all others, and let their ratings be those of the users alone."""
        self.decoder.fill_last_row()

    def item_embeddings(self) -> list[Tensor]:
        """Return the weights of items in the encoder and the decoder."""
        weights = self.encoder.items, self.encoder.ratings, self.decoder.affinity, self.decoder.rating
        return [weight for weight in weights if weight is not None]

    def labels(self, names: DataNames) -> Labels:
        """Return the labels of the weights of items."""
        rated = names.item_id[self.ledger.item_of[:-1].cpu().numpy()]
        weights = ("encoder.items", "encoder.ratings", "decoder.affinity", "decoder.appeal", "decoder.rating")
        return {name: {0: rated} for name in weights if name in self.state_dict()}

    # --- encoding ------------------------------------------------------------------------------------

    def encode_users(self, user: Tensor) -> Tensor:
        """Encode users of the data by their training ratings: [B] int32 user indexes -> [B, D + 1]."""
        distinct, place = torch.unique(user, return_inverse=True)
        return self._encode(self.ledger.histories(distinct))[place]

    def encode_histories(self, histories: Histories) -> Tensor:
        """Encode people by their ratings: histories of U people -> [U, D + 1]; ratings of unrated items say nothing."""
        there = histories.items >= 0
        user = torch.arange(len(there), dtype=torch.int32, device=there.device)
        every = UserHistories(user, starts_of(there.sum(1)), histories.items[there], histories.ratings[there])
        return self._encode(every.part(self.ledger.row_of[every.item] < self.shape["rows"] - 1))

    def _encode(self, histories: UserHistories) -> Tensor:
        read = self._read(histories)
        code = self._code(read)
        features = self.decoder(code.mean if isinstance(code, Code) else code)
        return torch.cat([features, read.expected[:, None]], dim=1)

    def _read(self, histories: UserHistories) -> _Read:
        """Return histories as the encoder reads them; their items must be rated ones."""
        owner, count = histories.owner(), histories.start.diff()
        row = self.ledger.row_of[histories.item].long()
        deviation = self.biases.deviations(row, histories.rating)
        bias = deviation.new_zeros(len(count)).index_add_(0, owner, deviation) / (count + USER_DAMPING)
        return _Read(histories.start, row, deviation - bias[owner], self.biases.mean + bias)

    def _code(self, read: _Read) -> Tensor | Code:
        """Return the codes of histories, [u, K]; their distributions if the autoencoder is variational."""
        encoded = self.encoder(read.start, read.row, read.residual)
        return Code(*encoded.chunk(2, dim=1)) if self.config.variational else encoded

    def encode_items(self, item: Tensor) -> Tensor:
        """Encode items by their weights in the decoder: [B] int32 item indexes -> [B, 2 D + 2]."""
        row, decoder = self.ledger.row_of[item].long(), self.decoder
        scalars = decoder.appeal[row, None], self.biases.bias[row, None]
        return torch.cat([decoder.affinity[row], scalars[0], decoder.rating[row], scalars[1]], dim=1)

    def user_vectors(self, user: Tensor) -> Tensor:
        """Return the features of users: [B] int32 -> [B, D] float32."""
        return self.encode_users(user)[:, :-1]

    def item_vectors(self, item: Tensor) -> Tensor:
        """Return the weights of items in the affinities: [B] int32 -> [B, D] float32."""
        return self.decoder.affinity[self.ledger.row_of[item].long()]

    # --- answers -------------------------------------------------------------------------------------

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the affinities of pairs: encodings [..., D + 1] and [..., 2 D + 2], which broadcast -> [...]."""
        width = users.shape[-1] - 1
        return (users[..., :width] * items[..., :width]).sum(-1) + items[..., width]

    def rate_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Predict the ratings of pairs: encodings [..., D + 1] and [..., 2 D + 2], which broadcast -> [...]."""
        width = users.shape[-1] - 1
        return (users[..., :width] * items[..., width + 1 : -1]).sum(-1) + users[..., width] + items[..., -1]

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """Write the affinities of all pairs, encodings [U, D + 1] and [I, 2 D + 2] -> out [U, I]: a matrix product."""
        width = users.shape[1] - 1
        torch.addmm(items[:, width], users[:, :width], items[:, :width].t(), out=out)

    # --- learning ------------------------------------------------------------------------------------

    def learn(self, histories: UserHistories, generator: torch.Generator) -> Learned:
        """Hold out a part of each history, and answer for it and for all items from the rest; see `HistoryLearner`."""
        held = (torch.rand(len(histories.item), generator=generator) < self.config.held_out).to(histories.item.device)
        owner = histories.owner()
        user = owner[held]
        read, full = self._read(histories.part(~held)), self._read(histories)
        code = self._code(read)
        features = self.decoder(code if isinstance(code, Tensor) else self._drawn(code, generator))
        row, truth = full.row[held], histories.rating[held]
        bias = self.biases.bias_without(row, torch.ones_like(truth), full.residual[held])
        rating = read.expected[user] + bias + (features[user] * self.decoder.rating[row]).sum(1)
        affinity = torch.addmm(self.decoder.appeal[:-1], features, self.decoder.affinity[:-1].t())  # [u, A]
        liked, log_weight = torch.zeros_like(affinity), torch.zeros_like(affinity)
        liked[user, row] = (truth >= self.scale.liked).float()
        log_weight[owner[~held], read.row] = -torch.inf  # what is known is no candidate
        penalty = self._penalty(code, liked) if isinstance(code, Code) else NO_PENALTY
        return Learned(rating, truth, affinity, liked, log_weight, penalty)

    def _drawn(self, code: Code, generator: torch.Generator) -> Tensor:
        """Return drawn codes in training, else their means: [u, K]."""
        return code.draw(generator) if self.training else code.mean

    def _penalty(self, code: Code, liked: Tensor) -> Tensor:
        """Return the weighted divergence of codes, for each held-out item that was liked, as the loss of lists is.

        Its weight rises from 0 (Bowman et al., 2016, arXiv:1511.06349), or codes would say nothing at first.
        """
        weight = self.config.beta * (self.trained / self.config.anneal_steps).clamp(max=1.0)
        self.trained += self.training
        return weight * (code.divergence() / liked.sum(1).clamp(min=1.0)).mean()
