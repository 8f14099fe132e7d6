"""The interface of all architectures: encode users, encode items, score and rate pairs of encodings.

A model gives two answers for a pair: an affinity, which ranks items, and a rating, which is shown. Training, evaluation
and batch scoring call the same methods, so they cannot disagree. A batch job encodes each user and each item once and
then pays for the pairs alone.

Legend: B pairs, U users, I items, P items of a user, C width of an encoding, D width of a vector, L ratings of a
history, S negatives (items drawn at random) beside each pair.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from widedeep.config.models import ArchitectureConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.labels import DataNames, Labels
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale

# Pairs that `score_chosen` scores at once: their encodings and activations then stay in a core's own cache.
CHOSEN_PAIRS = 1024

# Items of a history that an explanation names at most, for each pair.
REASONS = 3

# Makes an embedding table of (rows, width, sd): a whole one on each rank, or one that is sharded over the ranks.
MakeEmbedding = Callable[[int, int, float], RowEmbedding]

M = TypeVar("M", bound="Recommender")


class Scores(NamedTuple):
    """The two answers of a model for each pair; the same tensor twice if the model only predicts ratings."""

    affinity: Tensor  # [B] float32, a higher affinity ranks first; [B, 1 + S] with negatives, which follow the item
    rating: Tensor  # [B] float32, not clipped to the scale


class Histories(NamedTuple):
    """Ratings of users, some of whom may be unknown to the model."""

    items: Tensor  # [U, L] int32 item indexes, -1 where a history is shorter
    ratings: Tensor  # [U, L] float32


class Explanation(NamedTuple):
    """Why pairs have their affinities: the three parts add up to what `score_pairs` returns."""

    wide: Tensor  # [U, P] float32, by weights that the model has for pairs of items
    content: Tensor  # [U, P] float32, by what the items are like
    deep: Tensor  # [U, P] float32, the rest
    items: Tensor  # [U, P, REASONS] int64 items of the history that add most to wide + content, -1 for none
    ratings: Tensor  # [U, P, REASONS] float32 the user's ratings of these items, 0 for none
    shares: Tensor  # [U, P, REASONS] float32, of all that items of the history add (not of what others take away)


class Recommender(nn.Module, ABC):
    """Scores and rates pairs of users and items.

    `from_tables` builds a new model. The constructor, given the config, shape and scale of an existing model, builds
    one whose weights and buffers `load_state_dict` then fills. docs/adding-a-model.md shows an example.
    """

    # Whether the affinity is the predicted rating. If so, callers need not ask for both.
    affinity_is_rating: bool = True
    # Whether all cold users have the same encoding. If so, they need scoring only once.
    cold_users_alike: bool = True
    # Whether `encode_histories` works: whether the model can serve people who are not in the data.
    encodes_histories: bool = False
    # Whether `explain_chosen` works.
    explains: bool = False
    # Whether the model itself chooses few candidates for each user: to choose some before it would save nothing.
    chooses_candidates: bool = False
    # Whether training feeds whole histories, and no single ratings.
    learns_from_histories: bool = False
    # Name of the loss (see training/losses.py) that the architecture was published with.
    default_loss: str = "mse"
    # Whether predicted ratings mean something; false after a loss that only trains the ranking.
    rates: bool = True

    config_class: type[ArchitectureConfig]  # the architecture's section of the settings; its `name` is the name
    config: Any  # an instance of it
    shape: dict[str, int]  # sizes that the constructor needs; stored in the artifact
    scale: RatingScale

    @classmethod
    def name(cls) -> str:
        """Return the name of the architecture."""
        return cls.config_class.model_fields["name"].default

    @classmethod
    def from_tables(cls: type[M], config: Any, tables: Tables, embedding: MakeEmbedding = RowEmbedding) -> M:
        """Build an untrained model for prepared data.

        Args:
            config: the architecture's section of the settings.
            tables: the prepared feature tables.
            embedding: makes an embedding table of (rows, width, sd).

        Raises:
            InputError: the tables lack a column that the config names.

        """
        raise NotImplementedError

    @abstractmethod
    def encode_users(self, user: Tensor) -> Tensor:
        """Encode users of the data: [B] int32 user indexes -> [B, C] float32."""

    def encode_histories(self, histories: Histories) -> Tensor:
        """Encode people by their ratings: histories of U users -> [U, C] float32, as `encode_users` encodes users.

        Raises:
            NotImplementedError: the model knows users by their index alone; see `encodes_histories`.

        """
        raise NotImplementedError

    @abstractmethod
    def encode_items(self, item: Tensor) -> Tensor:
        """Encode items: [B] int32 item indexes -> [B, C] float32."""

    @abstractmethod
    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the affinities of pairs: encodings [..., C] and [..., C], which broadcast -> [...] float32."""

    def rate_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Predict the ratings of pairs, not clipped: encodings [..., C] and [..., C], which broadcast -> [...]."""
        return self.score_pairs(users, items)

    def rate_known(self, user: Tensor, item: Tensor) -> Tensor:
        """Predict the ratings of users of the data, not clipped: [B] and [B] int32 indexes -> [B] float32.

        It encodes each user and each item once.
        """
        users, of_pair = torch.unique(user, return_inverse=True)
        items, shown = torch.unique(item, return_inverse=True)
        return self.rate_pairs(self.encode_users(users)[of_pair], self.encode_items(items)[shown])

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """Write the affinities of all pairs: encodings [U, C] and [I, C] -> out [U, I].

        Architectures override it where all pairs of a block together cost less than one by one.
        """
        out.copy_(self.score_pairs(users[:, None], items[None]))

    def score_chosen(self, users: Tensor, items: Tensor, chosen: Tensor, out: Tensor) -> None:
        """Write the affinities of chosen items of each user.

        Args:
            users: [U, C] encodings.
            items: [I, C] encodings.
            chosen: [U, P] indexes into `items`.
            out: [U, P], overwritten.

        """
        self._fill_chosen(self.score_pairs, users, items, chosen, out)

    def rate_chosen(self, users: Tensor, items: Tensor, chosen: Tensor, out: Tensor) -> None:
        """Write the predicted ratings of chosen items of each user; the arguments are those of `score_chosen`."""
        self._fill_chosen(self.rate_pairs, users, items, chosen, out)

    def explain_chosen(self, users: Tensor, items: Tensor, chosen: Tensor) -> Explanation:
        """Explain the affinities of chosen items of each user.

        Args:
            users: [U, C] encodings.
            items: [I, C] encodings.
            chosen: [U, P] indexes into `items`.

        Raises:
            NotImplementedError: the model cannot tell; see `explains`.

        """
        raise NotImplementedError

    def _fill_chosen(
        self, answer: Callable[[Tensor, Tensor], Tensor], users: Tensor, items: Tensor, chosen: Tensor, out: Tensor
    ) -> None:
        height = max(1, CHOSEN_PAIRS // chosen.shape[1])
        for top in range(0, len(users), height):
            part = slice(top, top + height)
            out[part] = answer(users[part, None], items[chosen[part]])

    def forward(self, user: Tensor, item: Tensor, negatives: Tensor | None = None) -> Scores:
        """Return both answers for pairs, and the affinities of further items of their users.

        Args:
            user: [B] int32 user indexes.
            item: [B] int32 item indexes.
            negatives: [B, S] int32 item indexes, or None.

        """
        users = self.encode_users_without(user, item) if self.training else self.encode_users(user)
        if negatives is None:
            items = self.encode_items(item)
            affinity = self.score_pairs(users, items)
        else:  # all together: a look-up may be a collective, and batch norm would tell two groups apart
            lists = torch.cat([item[:, None], negatives], dim=1)
            encoded = self.encode_items(lists.flatten()).view(*lists.shape, -1)  # [B, 1 + S, C]
            items, affinity = encoded[:, 0], self.score_pairs(users[:, None], encoded)
        if self.affinity_is_rating:
            return Scores(affinity, affinity if negatives is None else affinity[:, 0])
        return Scores(affinity, self.rate_pairs(users, items))

    def encode_users_without(self, user: Tensor, item: Tensor) -> Tensor:
        """Encode users for training on their ratings of items: [B] and [B] int32 indexes -> [B, C].

        A model that reads the users' ratings leaves those of the items out, so that no pair sees itself.
        """
        return self.encode_users(user)

    def item_embeddings(self) -> list[Tensor]:
        """Return the weights of dense embeddings of items and their attributes, which decay by `embedding_decay`."""
        return []

    def labels(self, names: DataNames) -> Labels:
        """Return what the rows and columns of weights stand for: a warm start takes them over by it.

        Buffers are taken over only if they are named here; those of batch norm always are.

        Args:
            names: of the data of this model.

        Raises:
            NotImplementedError: the architecture cannot begin from an older run.

        """
        raise NotImplementedError

    def user_vectors(self, user: Tensor) -> Tensor:
        """Return the learnt vectors of users, for finding similar ones: [B] int32 -> [B, D] float32."""
        raise NotImplementedError

    def item_vectors(self, item: Tensor) -> Tensor:
        """Return the learnt vectors of items: [B] int32 -> [B, D] float32; D may differ from that of users."""
        raise NotImplementedError

    @torch.no_grad()
    def fill_cold_rows(self) -> None:
        """Give cold users and items their embedding, the mean of the trained ones; call it before evaluation."""
        for module in self.modules():
            if isinstance(module, RowEmbedding):
                module.fill_cold_row()
