"""What the training ratings say about items and about pairs of items.

Every statistic is a sum over users, so the share of one user can be subtracted: a pair that is trained on is then
judged by the ratings of other users alone.

Legend: A rated items (items with training ratings), U users, n training ratings, [...] any shape of pairs.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from widedeep.data.matrix_products import dense_product
from widedeep.models.history.biases import ItemBiases, bias_buffers, fit_biases
from widedeep.models.history.lookups import elements_of

# Co-ratings at which a correlation counts half.
SHRINKAGE = 50.0
# Pair tables hold their sums divided by this, as float16: whole numbers up to 2,048 are exact. Sums above 1 M are cut
# off: infinite ones would make NaNs.
UNIT = 16.0
MOST = torch.finfo(torch.float16).max
LEAST_EVIDENCE = 1e-3  # below this, the logarithm of a similarity is cut off


class PairEvidence(NamedTuple):
    """How two items belong together, by the ratings of users who rated both; each [...] float32."""

    together: Tensor  # number of these users
    overlap: Tensor  # log of the cosine of the two sets of users
    agreement: Tensor  # shrunk correlation of the residuals
    log_agreement: Tensor  # its log if it is positive


class ItemStatistics(ItemBiases):
    """Biases of items, and for each pair of items how many users rated both and how far they agree."""

    squares: Tensor  # [A] float32, sum of squared residuals
    variance: Tensor  # [] float32, mean squared residual
    pairs: Tensor  # [A, A, 2] float16: users who rated both, sum of the products of their residuals; both / UNIT

    def __init__(self, items: int):
        """Build with empty buffers for `items` rated items."""
        super().__init__(items)
        self.register_buffer("variance", torch.zeros(()))
        self.register_buffer("squares", torch.zeros(items))
        self.register_buffer("pairs", torch.zeros(items, items, 2, dtype=torch.float16))

    def spread_without(self, item: Tensor, own: Tensor, own_residual: Tensor) -> Tensor:
        """Return the standard deviation of the items' residuals without a user's own; see `bias_without`."""
        total = self.squares[item] - own * own_residual.square() + self.variance
        return (total.clamp(min=0.0) / (self.count[item] - own + 1.0)).sqrt()

    def evidence(
        self, target: Tensor, own: Tensor, own_residual: Tensor, past: Tensor, residual: Tensor
    ) -> PairEvidence:
        """Return what other users say of each target beside each item of a history.

        Args:
            target: [u, T] int64 rated items.
            own: [u, T] 1.0 where the statistics hold a rating of the user, else 0.0.
            own_residual: [u, T] the residual of that rating.
            past: [u, L] int64 rated items of the history.
            residual: [u, L] their residuals.

        Returns:
            tensors [u, T, L].

        """
        # Both numbers of a pair are looked up at once, as one of 32 bits: the table is far larger than the caches.
        pairs = self.pairs.view(torch.int32)[..., 0]
        both = elements_of(pairs, target[:, :, None], past[:, None]).view(torch.float16).unflatten(-1, (-1, 2))
        # Done in place where it can be, as these are the largest arrays of the model.
        together = both[..., 0].float().mul_(UNIT).sub_(own[:, :, None]).clamp_(min=0.0)
        products = both[..., 1].float().mul_(UNIT).sub_((own * own_residual)[:, :, None] * residual[:, None, :])
        spread = self.spread_without(target, own, own_residual)[:, :, None]
        spreads = spread * self.spread_without(past, torch.zeros_like(residual), residual)[:, None, :]
        correlation = products.div_(spreads.mul_(together).add_(0.1)).clamp_(-1.0, 1.0)
        agreement = correlation.mul_(together / (together + SHRINKAGE))
        rarity = (self.count[target] - own).clamp(min=1.0).rsqrt()[:, :, None]
        overlap = (together * rarity).mul_(self.count[past].clamp(min=1.0).rsqrt()[:, None, :])
        log_overlap, log_agreement = (
            overlap.clamp_(min=LEAST_EVIDENCE).log_(),
            agreement.clamp(min=LEAST_EVIDENCE).log_(),
        )
        return PairEvidence(together, log_overlap, agreement, log_agreement)


def fit_statistics(user: np.ndarray, item: np.ndarray, rating: np.ndarray, shape: tuple[int, int]) -> dict[str, Tensor]:
    """Return the buffers of `ItemStatistics`.

    Args:
        user: [n] user indexes.
        item: [n] rated items, 0 to A - 1.
        rating: [n] float32.
        shape: (U, A).

    """
    users, items = shape
    mean, user_bias, item_bias = fit_biases(user, item, rating, shape)
    residual = (rating - mean - user_bias[user] - item_bias[item]).astype(np.float32)
    rated, residuals = (
        sp.csr_matrix((values, (item, user)), shape=(items, users), dtype=np.float32)
        for values in (np.ones(len(user), np.float32), residual)
    )
    squares = np.bincount(item, residual.astype(np.float64) ** 2, items)
    pairs = torch.empty(items, items, 2, dtype=torch.float16)
    for place, matrix in enumerate((rated, residuals)):
        table = torch.from_numpy(dense_product(matrix, matrix)).div_(UNIT)
        pairs[..., place] = table.fill_diagonal_(0.0).clamp_(-MOST, MOST)  # an item says nothing about itself
    return {
        "pairs": pairs,
        **bias_buffers(item, mean, item_bias),
        "variance": torch.tensor(float(squares.sum() / max(1, len(user))), dtype=torch.float32),
        "squares": torch.from_numpy(squares.astype(np.float32)),
    }
