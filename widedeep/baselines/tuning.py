"""Choosing settings on the valid split: rating predictions by RMSE, lists by NDCG@10.

A Predictor gives ratings of pairs, a Ranker gives scores of all items for some users. A baseline
makes offers, that is settings with what they lead to; the best on valid are kept.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from widedeep.common.console import log
from widedeep.data.rating_matrices import Splits
from widedeep.evaluation.ranking_metrics import mean_ranking_metrics
from widedeep.evaluation.rating_errors import RatingErrors
from widedeep.parallel.world import ALONE
from widedeep.schema.evaluation import LIST_LENGTH
from widedeep.schema.manifest import LIKED
from widedeep.scoring.scorer import top_unseen

# user [n], item [n] -> predicted ratings [n], not clipped
Predictor = Callable[[np.ndarray, np.ndarray], np.ndarray]
# users [n] -> scores [n, I] float32 in an array of its own, -inf at what cannot be recommended
Ranker = Callable[[np.ndarray], np.ndarray]

# Users ranked at once: their scores of 25 K items are 25 MB.
BLOCK = 256


class Offer(NamedTuple):
    """Settings and what they lead to: predictions, lists or both."""

    settings: dict[str, Any]
    predictor: Predictor | None = None
    ranker: Ranker | None = None


class Trial(NamedTuple):
    """Settings that were tried and their figures on valid."""

    settings: dict[str, Any]
    figures: dict[str, float]


class Tuned(NamedTuple):
    """The best offers for ratings and for lists, None where none was made, and all that was tried."""

    ratings: Offer | None
    lists: Offer | None
    trials: list[Trial]


class Judge:
    """Measures candidates on the valid ratings of some users, the same for all baselines.

    Args:
        splits: the ratings.
        count: the most users to measure on; those with valid ratings are drawn from.
        seed: of the draw.

    """

    def __init__(self, splits: Splits, count: int, seed: int):
        user, item, rating = splits.pairs("valid")
        drawn = draw(np.unique(user), count, seed)
        keep = np.isin(user, drawn)
        self._user, self._item, self._rating = user[keep], item[keep], rating[keep]
        liked = splits.matrix("valid", least=LIKED)[drawn]
        self._relevant = {int(u): set(row.indices.tolist()) for u, row in zip(drawn, liked, strict=True) if row.nnz}
        self._users = np.array(sorted(self._relevant), np.int64)
        self._history, self._items, self._lowest = splits.history, splits.items, splits.lowest

    def errors(self, predictor: Predictor) -> dict[str, float]:
        """RMSE of a predictor."""
        errors = RatingErrors(ALONE.device, self._lowest)
        errors.add(torch.from_numpy(predictor(self._user, self._item)), torch.from_numpy(self._rating))
        found = errors.result(ALONE)
        return {"rmse": found["rmse"], "ratings": found["ratings"]}

    def quality(self, ranker: Ranker) -> dict[str, float]:
        """NDCG@10, Recall@20 and coverage of a ranker's lists; candidates are all items not in train."""
        lists: dict[int, list[int]] = {}
        for users, items, _ in ranked(ranker, self._users, self._history, LIST_LENGTH):
            lists |= {u: [i for i in row if i >= 0] for u, row in zip(users.tolist(), items.tolist(), strict=True)}
        return mean_ranking_metrics(lists, self._relevant, self._items)


def draw(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Up to `count` of the values, sorted."""
    return np.sort(np.random.default_rng(seed).permutation(values)[:count])


def ranked(
    ranker: Ranker, users: np.ndarray, seen: sp.csr_matrix, n: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The best unseen items of users, a block of BLOCK at a time.

    Args:
        ranker: scores the items.
        users: [n] positions.
        seen: [U, I] items to leave out, those that are set.
        n: length of the lists.

    Yields:
        users [b], items [b, n] int64 (-1 where none is left) and scores [b, n] float32, best first.

    """
    for low in range(0, len(users), BLOCK):
        block = users[low : low + BLOCK]
        scores, rows = torch.from_numpy(ranker(block)), seen[block]
        hidden = np.split(rows.indices, rows.indptr[1:-1])
        best, where = top_unseen(scores, hidden, min(n, scores.shape[1]))
        yield block, where.numpy(), best.numpy()


def tune(name: str, offers: Iterable[Offer], judge: Judge) -> Tuned:
    """Measure every offer and keep the best for ratings and the best for lists; the first of equals.

    Args:
        name: for the log.
        offers: made one after another, so that few are in memory.
        judge: measures. Where valid is empty its figures are NaN and the first offer is taken.

    """
    best = Tuned(None, None, [])
    lowest = highest = np.nan
    for settings, predictor, ranker in offers:
        figures = (judge.errors(predictor) if predictor else {}) | (judge.quality(ranker) if ranker else {})
        best.trials.append(Trial(settings, figures))
        log.info("%s: %s", name, _words(settings, figures))
        if predictor and (best.ratings is None or _above(-figures["rmse"], -lowest)):
            lowest, best = figures["rmse"], best._replace(ratings=Offer(settings, predictor, ranker))
        if ranker and (best.lists is None or _above(figures["ndcg_at_10"], highest)):
            highest, best = figures["ndcg_at_10"], best._replace(lists=Offer(settings, predictor, ranker))
    for what, offer in (("ratings", best.ratings), ("lists", best.lists)):
        if offer and (edges := at_edges(offer.settings, best.trials)):
            log.info("%s: for %s the best is at the edge of what was tried: %s", name, what, ", ".join(edges))
    return best


def _above(figure: float, best: float) -> bool:
    """Whether a figure is above the best; any number is above NaN."""
    return figure > best or (math.isnan(best) and not math.isnan(figure))


def at_edges(settings: Mapping[str, Any], trials: Iterable[Trial]) -> list[str]:
    """The settings, numbers of which several were tried, that are the highest or the lowest of them."""
    found = []
    for key, value in settings.items():
        tried = sorted({trial.settings[key] for trial in trials if key in trial.settings})
        if isinstance(value, bool | str) or len(tried) < 2:
            continue
        if value in (tried[0], tried[-1]):
            found.append(f"{key} {value:g} is the {'lowest' if value == tried[0] else 'highest'}")
    return found


def _words(settings: dict[str, Any], figures: dict[str, float]) -> str:
    tried = ", ".join(f"{key} {value}" for key, value in settings.items()) or "nothing to choose"
    found = [
        f"{label} {figures[key]:.4f}" for key, label in (("rmse", "RMSE"), ("ndcg_at_10", "NDCG@10")) if key in figures
    ]
    return f"{tried}: {', '.join(found)}"
