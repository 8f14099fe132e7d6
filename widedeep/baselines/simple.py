"""Baselines without personal taste: the global mean, user and item biases, popularity.

Legend: U users, I items, n pairs or users asked for.
"""

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from widedeep.baselines.base import Baseline, BaselineContext, NonNegatives, Positives
from widedeep.baselines.biases import bias_predictor, bias_ranker
from widedeep.baselines.tuning import Candidate, Predictor, Ranker
from widedeep.data.rating_matrices import Splits


class GlobalMean(Baseline):
    """The mean of the training ratings predicts every rating."""

    name = "global_mean"

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield one candidate that predicts ratings."""
        yield Candidate({}, mean_predictor(context.splits))


class Bias(Baseline):
    """The mean plus a bias of the user and one of the item predict ratings and rank items."""

    name = "bias"
    user_priors: Positives = Field(default=(1.0, 2.0, 5.0), description="ratings at zero bias given to each user")
    item_priors: Positives = Field(
        default=(0.5, 1.0, 3.0, 300.0, 30_000.0), description="ratings at zero bias given to each item"
    )

    @property
    def strengths(self) -> tuple[tuple[float, float], ...]:
        """All combinations (user prior, item prior)."""
        return tuple((user, item) for user in self.user_priors for item in self.item_priors)

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield a candidate for ratings and lists for each strength."""
        for settings, biases in context.bias_fits:
            yield Candidate(settings, bias_predictor(biases), bias_ranker(biases))


class Popularity(Baseline):
    """The share of users who rated an item, or rated it well, ranks items."""

    name = "popularity"
    least_ratings: NonNegatives = Field(default=(1.0, 8.0), description="ratings below do not count")

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield a candidate for lists for each threshold."""
        for least in self.least_ratings:
            yield Candidate({"least_rating": least}, ranker=popularity_ranker(context.splits, least))


def mean_predictor(splits: Splits) -> Predictor:
    """Predict the mean of the training ratings."""
    return lambda user, item: np.full(len(user), splits.mean)


def popularity_ranker(splits: Splits, least: float) -> Ranker:
    """Rank items by the share of the training users who rated them `least` or more."""
    user, item, rating = splits.pairs("train")
    users = max(1, len(np.unique(user)))
    share = (np.bincount(item[rating >= least], minlength=splits.items) / users).astype(np.float32)
    return lambda users: np.tile(share, (len(users), 1))


def with_popular_for_cold(splits: Splits, ranker: Ranker) -> Ranker:
    """Rank by `ranker`, but by the number of ratings for users without training ratings."""
    most_rated = popularity_ranker(splits, 0)
    cold = np.diff(splits.history.indptr) == 0

    def affinities(users: np.ndarray) -> np.ndarray:
        out = ranker(users)
        out[cold[users]] = most_rated(users[cold[users]])
        return out

    return affinities
