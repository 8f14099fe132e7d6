"""Wide & deep (Cheng et al., 2016, arXiv:1606.07792).

A linear model over item features beside an MLP over user and item embeddings; the two are summed.

Legend: B pairs, U users, I items, D embedding width, H first hidden width, F wide features.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from widedeep.config import ModelConfig
from widedeep.models.base import Recommender
from widedeep.rows import RowEmbedding
from widedeep.tables import Tables, embedding_rows

# Pairs scored at once: their [pairs, H] activations then stay in a core's cache (4 MB at H = 128).
TILE_PAIRS = 8192
TILE_ITEMS = 1024
# On a GPU a tile must occupy all of it: 0.5 GB at H = 128.
GPU_TILE_PAIRS = 1 << 20
GPU_TILE_ITEMS = 1 << 15


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that a batch of one row passes too: it has no spread, so the running statistics serve."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, H] -> [B, H]."""
        if self.training and len(input) == 1:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class WideDeep(Recommender):
    """rating = wide(item features) + MLP([user embedding; item embedding]).

    The first layer over `[user; item]` is a sum of a user part and an item part, so a code holds the
    part's contribution to the first layer's H inputs, and last the part's share of the wide sum.
    """

    user_row: Tensor  # [U] int32, row of the embedding
    item_row: Tensor  # [I] int32, row of the embedding
    item_wide: Tensor  # [I, F] float32

    def __init__(
        self,
        config: ModelConfig,
        shape: dict[str, int],
        embedding: Callable[[int, int, float], RowEmbedding] = RowEmbedding,
    ):
        """Build with empty buffers; `from_tables` or a loaded state fills them.

        Args:
            config: sizes and options.
            shape: users U, items I, user_rows and item_rows with an embedding, wide features F.
            embedding: makes a table of (rows, width, sd).

        """
        super().__init__()
        d, widths = config.embedding_dim, config.hidden
        # One row more than trained: shared by everybody without training ratings.
        self.user_embedding = embedding(shape["user_rows"] + 1, d, config.embedding_sd)
        self.item_embedding = embedding(shape["item_rows"] + 1, d, config.embedding_sd)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        first = nn.Linear(2 * d, widths[0])
        self.user_part = nn.Linear(d, widths[0])  # carries the bias of the whole layer
        self.item_part = nn.Linear(d, widths[0], bias=False)
        with torch.no_grad():  # initialised as the one layer that the two parts are
            self.user_part.weight.copy_(first.weight[:, :d])
            self.user_part.bias.copy_(first.bias)
            self.item_part.weight.copy_(first.weight[:, d:])
        layers: list[nn.Module] = []
        for index, width in enumerate(widths):
            if index:
                layers.append(nn.Linear(widths[index - 1], width))
            if config.batch_norm:
                layers.append(BatchNorm(width))
            layers.append(nn.ReLU(inplace=True))
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
        self.last = nn.Linear(widths[-1], 1)
        self.deep = nn.Sequential(*layers)
        self.wide = nn.Linear(shape["wide"], 1, bias=False)
        nn.init.zeros_(self.wide.weight)
        self.register_buffer("user_row", torch.zeros(shape["users"], dtype=torch.int32))
        self.register_buffer("item_row", torch.zeros(shape["items"], dtype=torch.int32))
        self.register_buffer("item_wide", torch.zeros(shape["items"], shape["wide"]))
        self.hidden = widths[0]

    @classmethod
    def from_tables(
        cls,
        config: ModelConfig,
        tables: Tables,
        embedding: Callable[[int, int, float], RowEmbedding] = RowEmbedding,
    ) -> tuple["WideDeep", dict[str, int]]:
        """An untrained model of prepared data, and the shape it was built with."""
        users, items = tables.users, tables.items
        user_row, user_rows = embedding_rows(users.values("train_ratings"))
        item_row, item_rows = embedding_rows(items.values("train_ratings"))
        wide = torch.cat([items.numeric(config.wide_numeric), *(items.multi_hot(m) for m in config.wide_multi_hot)], 1)
        shape = {
            "users": users.rows,
            "items": items.rows,
            "user_rows": user_rows,
            "item_rows": item_rows,
            "wide": wide.shape[1],
        }
        model = cls(config, shape, embedding)
        model.user_row.copy_(user_row)
        model.item_row.copy_(item_row)
        model.item_wide.copy_(wide)
        with torch.no_grad():  # start from the mean rating: the first steps need not find it
            model.last.bias.fill_(tables.train_mean)
        return model, shape

    def encode_users(self, user: Tensor) -> Tensor:
        """[B] -> [B, H + 1]; users add nothing to the wide sum."""
        return nn.functional.pad(self.user_part(self._embedded_users(user)), (0, 1))

    def encode_items(self, item: Tensor) -> Tensor:
        """[B] -> [B, H + 1]."""
        return torch.cat([self.item_part(self._embedded_items(item)), self._wide_items(item)], dim=-1)

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """[..., H + 1] and [..., H + 1] -> [...]."""
        total = users + items
        # BatchNorm1d wants two dimensions, whatever the codes' shape.
        deep = self._deep(total[..., :-1].reshape(-1, self.hidden))
        return deep.view(total.shape[:-1]) + total[..., -1]

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """[B], [B] -> [B]: `score_pairs` of the two codes, without putting these together and apart again."""
        hidden = torch.addmm(  # [B, H]; the sum of the two parts comes with the second product
            self.user_part(self._embedded_users(user)), self._embedded_items(item), self.item_part.weight.t()
        )
        return (self._deep(hidden) + self._wide_items(item)).squeeze(-1)

    def _embedded_users(self, user: Tensor) -> Tensor:
        """[B] -> [B, D]."""
        return self.embedding_dropout(self.user_embedding(self.user_row.index_select(0, user)))

    def _embedded_items(self, item: Tensor) -> Tensor:
        """[B] -> [B, D]."""
        return self.embedding_dropout(self.item_embedding(self.item_row.index_select(0, item)))

    def _wide_items(self, item: Tensor) -> Tensor:
        """[B] -> [B, 1]."""
        return self.wide(self.item_wide.index_select(0, item))

    def _deep(self, hidden: Tensor) -> Tensor:
        """[B, H], which is overwritten -> [B, 1]."""
        return self.last(self.deep(hidden))

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """All pairs, in tiles small enough for the cache and in buffers that are made once."""
        (scale, shift), layers = self._folded()
        user_hidden = users[:, :-1] * scale  # [U, H]
        item_hidden = items[:, :-1] * scale + shift  # [I, H]
        pairs, wide = (TILE_PAIRS, TILE_ITEMS) if users.device.type == "cpu" else (GPU_TILE_PAIRS, GPU_TILE_ITEMS)
        height = max(1, pairs // wide)
        widths = [self.hidden, *(weight.shape[1] for weight, _ in layers)]
        buffers = [torch.empty(height * wide, width, device=users.device) for width in widths]
        for left in range(0, len(items), wide):
            part = item_hidden[left : left + wide]  # [t, H]
            for top in range(0, len(users), height):
                rows = user_hidden[top : top + height]  # [h, H]
                count = len(rows) * len(part)
                values = buffers[0][:count]
                torch.add(rows[:, None], part[None], out=values.view(len(rows), len(part), self.hidden))
                for (weight, bias), buffer in zip(layers, buffers[1:], strict=True):
                    values = torch.addmm(bias, values.relu_(), weight, out=buffer[:count])
                out[top : top + height, left : left + wide] = values.view(len(rows), len(part))
        out += items[:, -1]
        out += users[:, -1:]

    def _folded(self) -> tuple[tuple[Tensor, Tensor], list[tuple[Tensor, Tensor]]]:
        """The layers as they score: batch norm folded into what it follows, dropout gone.

        Returns:
            scale and shift [H] of the first layer's inputs; then for each linear layer its weights
            [in, out] and bias [out]. A ReLU stands before each of these.

        """
        scale, shift = torch.ones_like(self.user_part.bias), torch.zeros_like(self.user_part.bias)
        layers: list[tuple[Tensor, Tensor]] = []
        for module in [*self.deep, self.last]:
            if isinstance(module, nn.Linear):
                layers.append((module.weight.t(), module.bias))
            elif isinstance(module, nn.BatchNorm1d):
                assert module.running_var is not None
                assert module.running_mean is not None
                a = module.weight * torch.rsqrt(module.running_var + module.eps)
                b = module.bias - module.running_mean * a
                if layers:
                    weight, bias = layers[-1]
                    layers[-1] = weight * a, bias * a + b
                else:
                    scale, shift = a, b
        return (scale, shift), layers

    @torch.no_grad()
    def settle(self) -> None:
        """The shared rows become the mean of the trained ones: the most typical user, the most typical item."""
        self.user_embedding.settle()
        self.item_embedding.settle()
