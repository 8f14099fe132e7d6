"""One training pass: what a model makes of a batch, and the loss of that. DDP wraps the pass, so it is a module.

Legend: b ratings of this rank's batch, h held-out ratings of it, u users of it, C candidates.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from widedeep.data.batches import Batch
from widedeep.data.histories import UserHistories
from widedeep.models import Recommender
from widedeep.models.base import Scores
from widedeep.models.history_learner import HistoryLearner, Learned
from widedeep.parallel.world import World
from widedeep.training.losses import Loss
from widedeep.training.negatives import NegativeSampler


class Outcome(NamedTuple):
    """The loss of a batch and what is reported of it."""

    loss: Tensor  # [] to be minimised
    ratings: Tensor | int  # number of ratings that were predicted
    squared_errors: Tensor  # [] their sum


class RatingPass(nn.Module):
    """The pass of models that are trained on single ratings."""

    def __init__(self, model: Recommender, loss: Loss, weight: float, sampler: NegativeSampler | None):
        """Take what a pass needs.

        Args:
            model: in training.
            loss: of each rating.
            weight: of the ranking beside the ratings, if the loss has both.
            sampler: draws negatives; only losses of the ranking need it.

        """
        super().__init__()
        self.model, self._loss, self._weight = model, loss, weight
        self._sampler = sampler if loss.of_ranking else None

    def forward(self, batch: Batch, step: int) -> Outcome:
        """Return the outcome of a batch of ratings."""
        negatives = self._sampler.draw(batch.item, step) if self._sampler else None
        scores: Scores = self.model(batch.user, batch.item, None if negatives is None else negatives.item)
        losses = self._loss.of_batch(scores, batch.rating, self.model.scale, negatives, self._weight)
        with torch.no_grad():
            squared = (scores.rating - batch.rating).square().sum()
        return Outcome(losses.mean(), len(batch), squared)


class HistoryPass(nn.Module):
    """The pass of models that are trained on whole histories."""

    def __init__(self, model: HistoryLearner, loss: Loss, weight: float, seed: int, world: World):
        """Take what a pass needs.

        Args:
            model: in training.
            loss: of held-out ratings, of lists of candidates, or of both.
            weight: of the lists beside the ratings, if the loss has both.
            seed: what is held out depends on it, on the step and on the rank, so resuming draws the same again.
            world: this rank.

        """
        super().__init__()
        self.model, self._loss, self._weight = model, loss, weight
        self._seed, self._world, self._generator = seed, world, torch.Generator()

    def forward(self, batch: UserHistories, step: int) -> Outcome:
        """Return the outcome of a batch of histories, which may have no users."""
        if not len(batch):
            nothing = torch.stack([parameter.sum() for parameter in self.model.parameters()]).sum() * 0.0
            return Outcome(nothing, 0, nothing.detach())
        seeds = np.random.SeedSequence([self._seed, step, self._world.rank])
        self._generator.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        learned = self.model.learn(batch, self._generator)
        with torch.no_grad():
            squared = (learned.rating - learned.truth).square().sum()
        return Outcome(self._loss_of(learned), len(learned.truth), squared)

    def _loss_of(self, learned: Learned) -> Tensor:
        # Both answers are part of the loss, whatever its kind: DDP expects a gradient of every parameter.
        loss = learned.penalty + 0.0 * (learned.rating.sum() + learned.affinity.sum())
        if self._loss.of_rating:
            scores = Scores(learned.rating, learned.rating)
            losses = self._loss.of_rating(scores, learned.truth, self.model.scale)
            loss = loss + losses.sum() / max(1, len(losses))
        if self._loss.of_list:
            some = learned.liked.sum(1) > 0
            lists = self._loss.of_list(learned.affinity[some], learned.liked[some], learned.log_weight[some])
            weight = self._weight if self._loss.of_rating else 1.0
            loss = loss + weight * lists.sum() / max(1, len(lists))
        return loss


def make_pass(
    model: Recommender, loss: Loss, weight: float, seed: int, world: World, sampler: NegativeSampler | None
) -> RatingPass | HistoryPass:
    """Return the training pass of a model; for the arguments see `RatingPass` and `HistoryPass`."""
    if isinstance(model, HistoryLearner):
        return HistoryPass(model, loss, weight, seed, world)
    return RatingPass(model, loss, weight, sampler)
