"""BPR-MF: factors and item biases that rank what a user rated above other items (Rendle et al., UAI 2009).

"BPR: Bayesian personalized ranking from implicit feedback" (arXiv:1205.2618). The loss of a triple of a user, an item
that the user rated and one that the user did not is -log sigmoid of the difference of the two affinities. As published,
triples are drawn at random; otherwise than published, a step takes many of them, its size is that of AdaGrad (Duchi et
al., 2011), and much rated items are drawn more often as the other item, which the paper leaves open.

Legend: U users, I items, N training ratings, F factors, b triples of a step.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from widedeep.baselines.base import Baseline, BaselineContext, Counts, NonNegatives
from widedeep.baselines.factors import Factors, factor_ranker
from widedeep.baselines.tuning import Candidate, Ranker
from widedeep.config.fields import Share
from widedeep.config.train import OptimConfig, RankingConfig
from widedeep.data.rating_matrices import Splits
from widedeep.parallel.row_embeddings import RowEmbedding, RowOptimizer
from widedeep.parallel.world import ALONE
from widedeep.training.losses import bpr
from widedeep.training.negatives import NegativeSampler

TRIPLES_PER_STEP = 4096
RATE = 0.3  # of AdaGrad
INITIAL_SD = 0.1


class BprMf(Baseline):
    """Factors trained on pairs of a rated item and another one rank items."""

    name = "bpr_mf"
    ranks: Counts = Field(default=(128,), description="factors")
    regularisations: NonNegatives = Field(default=(0.01, 0.02, 0.04), description="penalty of the vectors of a triple")
    popularities: tuple[Share, ...] = Field(
        default=(0.5,), description="other items are drawn in proportion to their ratings to this power; 0: all alike"
    )
    epochs: Counts = Field(default=(20, 40), description="passes over the ratings; lists are measured after each")

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for lists: ratings that all weigh the same, then better ones that weigh more."""
        for weighted, rank, reg, popularity in product(
            (False, True), self.ranks, self.regularisations, self.popularities
        ):
            settings = {"rank": rank, "regularisation": reg, "popularity": popularity, "weighted_history": weighted}
            training = BprTraining(context.splits, rank, reg, popularity, weighted, context.seed)
            for epoch in range(1, max(self.epochs) + 1):
                training.train_epoch()
                if epoch in self.epochs:
                    yield Candidate({**settings, "epochs": epoch}, ranker=training.ranker())


class BprTraining:
    """The factors and what trains them.

    Args:
        splits: the ratings.
        rank: F.
        regularisation: weight of half the squared vectors of a triple beside its loss.
        popularity: power of an item's number of ratings, to which its chance to be the other item is proportional.
        weighted: whether a better rating counts more.
        seed: of the initial vectors, the order of the ratings and the other items.

    """

    def __init__(self, splits: Splits, rank: int, regularisation: float, popularity: float, weighted: bool, seed: int):
        self._splits, self._steps = splits, 0
        history = splits.past(weighted).tocoo()
        self._user, self._item = (torch.from_numpy(index.astype(np.int64)) for index in history.coords)  # [N], sorted
        self._weight = torch.from_numpy(history.data)  # [N] float32
        self._rated = self._user * splits.items + self._item  # [N], ascending
        counts = np.bincount(history.col, minlength=splits.items)
        self._sampler = NegativeSampler(counts, RankingConfig(negatives=1, popularity=popularity), seed, ALONE)
        self._generator = torch.Generator().manual_seed(seed)
        self._users = RowEmbedding(splits.users, rank, INITIAL_SD)
        self._items = RowEmbedding(splits.items, rank + 1, INITIAL_SD)  # the last column is the bias
        for table in (self._users, self._items):
            table.weight.normal_(std=INITIAL_SD, generator=self._generator)
        self._items.weight[:, -1] = 0
        config = OptimConfig(name="adagrad", embedding_decay=regularisation / 2)
        self._optimizer = RowOptimizer([self._users, self._items], config, ALONE)

    def train_epoch(self) -> None:
        """Take each training rating once, in a new order, with a new other item."""
        for rows in torch.randperm(len(self._user), generator=self._generator).split(TRIPLES_PER_STEP):
            user, item, weight = self._user[rows], self._item[rows], self._weight[rows]
            other = self._sampler.draw(item.int(), self._steps).item[:, 0].long()
            self._steps += 1
            # Without the triples whose other item the user rated, what is left is drawn evenly from all triples.
            unrated = ~self._is_rated(user, other)
            if unrated.any():
                self._train_step(user[unrated], item[unrated], other[unrated], weight[unrated])

    def _train_step(self, user: Tensor, item: Tensor, other: Tensor, weight: Tensor) -> None:
        taste, better, worse = self._users(user), self._items(item), self._items(other)
        affinity = [(taste * vector[:, :-1]).sum(1) + vector[:, -1] for vector in (better, worse)]
        (bpr(torch.stack(affinity, dim=1)) * weight).mean().backward()
        self._optimizer.step(self._optimizer.start(), RATE)

    def _is_rated(self, user: Tensor, item: Tensor) -> Tensor:
        """[b], [b] -> [b] bool, whether the user rated the item."""
        pair = user * self._splits.items + item
        place = torch.searchsorted(self._rated, pair).clamp(max=len(self._rated) - 1)
        return self._rated[place] == pair

    def ranker(self) -> Ranker:
        """Rank by the factors as they are now."""
        user, item = (table.weight.detach().numpy().copy() for table in (self._users, self._items))
        return factor_ranker(Factors(user, item[:, :-1], self._splits.rated), item[:, -1])
