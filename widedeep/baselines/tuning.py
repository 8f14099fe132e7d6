"""Tuning: choose the settings with the lowest RMSE and the highest NDCG@10 on the valid split.

Legend: U users, I items, n pairs or users asked for, b users of a block, N items of a list.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from widedeep.common.console import log
from widedeep.common.errors import DivergedError
from widedeep.data.rating_matrices import Splits
from widedeep.evaluation.ranking_metrics import mean_ranking_metrics
from widedeep.evaluation.rating_errors import RatingErrors
from widedeep.parallel.world import ALONE
from widedeep.schema.evaluation import LIST_LENGTH
from widedeep.schema.records import Record
from widedeep.scoring.top_n import top_unseen

# user [n], item [n] -> predicted ratings [n]; they need not be clipped to the scale.
Predictor = Callable[[np.ndarray, np.ndarray], np.ndarray]
# users [n] -> affinities [n, I] float32 in a new array, -inf for items that cannot be recommended.
Ranker = Callable[[np.ndarray], np.ndarray]

# Users ranked at once: their affinities to 25 K items take 25 MB.
USERS_PER_BLOCK = 256


class Candidate(NamedTuple):
    """One combination of settings and what was fitted with it: a predictor, a ranker or both."""

    settings: dict[str, Any]
    predictor: Predictor | None = None
    ranker: Ranker | None = None


class Trial(Record):
    """The settings of a candidate and its metrics on valid."""

    settings: dict[str, Any]
    metrics: dict[str, int | float]


class TuningResult(NamedTuple):
    """The best candidates, None where no candidate predicts ratings (or ranks), and all trials."""

    ratings: Candidate | None
    lists: Candidate | None
    trials: list[Trial]

    def trial_of(self, candidate: Candidate | None) -> Trial | None:
        """Return the trial with the candidate's settings."""
        return next((trial for trial in self.trials if candidate and trial.settings == candidate.settings), None)


class ListBlock(NamedTuple):
    """The lists of a block of users, best item first."""

    users: np.ndarray  # [b] user indexes
    items: np.ndarray  # [b, N] int64 item indexes, -1 where no item is left
    affinities: np.ndarray  # [b, N] float32


class Evaluator:
    """Measures candidates on the valid ratings of a sample of users, the same for all baselines.

    Args:
        splits: the ratings.
        count: size of the sample; it is drawn from the users with valid ratings.
        seed: of the draw.

    """

    def __init__(self, splits: Splits, count: int, seed: int):
        user, item, rating = splits.pairs("valid")
        sample = sample_sorted(np.unique(user), count, seed)
        keep = np.isin(user, sample)
        self._user, self._item, self._rating = user[keep], item[keep], rating[keep]
        liked = splits.matrix("valid", least=splits.scale.liked)[sample]
        self._relevant = {int(u): set(row.indices.tolist()) for u, row in zip(sample, liked, strict=True) if row.nnz}
        self._users = np.array(sorted(self._relevant), np.int64)
        self._history, self._items, self._scale = splits.history, splits.items, splits.scale

    def rating_metrics(self, predictor: Predictor) -> dict[str, float]:
        """Return a predictor's RMSE, NaN if a prediction is no number, and the number of ratings it was measured on."""
        errors = RatingErrors(ALONE.device, self._scale)
        errors.add(torch.from_numpy(predictor(self._user, self._item)), torch.from_numpy(self._rating))
        try:
            rmse = errors.result(ALONE)["rmse"]
        except DivergedError:  # one setting of many: another may be better
            rmse = math.nan
        return {"rmse": rmse, "ratings": len(self._rating)}

    def ranking_metrics(self, ranker: Ranker) -> dict[str, float]:
        """Return NDCG@10, Recall@20 and coverage of a ranker's lists; all items outside of train are ranked."""
        lists: dict[int, list[int]] = {}
        for users, items, _ in recommend(ranker, self._users, self._history, LIST_LENGTH):
            lists |= {u: [i for i in row if i >= 0] for u, row in zip(users.tolist(), items.tolist(), strict=True)}
        return mean_ranking_metrics(lists, self._relevant, self._items)


def sample_sorted(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return a random sample of up to `count` values, sorted."""
    return np.sort(np.random.default_rng(seed).permutation(values)[:count])


def recommend(ranker: Ranker, users: np.ndarray, seen: sp.csr_matrix, n: int) -> Iterator[ListBlock]:
    """Yield the best unseen items of USERS_PER_BLOCK users at a time.

    Args:
        ranker: gives the affinities.
        users: [n] user indexes.
        seen: [U, I], nonzero at the items to leave out.
        n: length of the lists.

    """
    for low in range(0, len(users), USERS_PER_BLOCK):
        block = users[low : low + USERS_PER_BLOCK]
        affinities, rows = torch.from_numpy(ranker(block)), seen[block]
        hidden = np.split(rows.indices, rows.indptr[1:-1])
        best, items = top_unseen(affinities, hidden, min(n, affinities.shape[1]))
        yield ListBlock(block, items.numpy(), best.numpy())


def tune(name: str, candidates: Iterable[Candidate], evaluator: Evaluator) -> TuningResult:
    """Measure every candidate and keep the best for ratings and the best for lists; the first one if several tie.

    Args:
        name: of the baseline, for the log.
        candidates: a generator, so that only the best ones and the current one are in memory.
        evaluator: measures. If the valid split is empty its metrics are NaN and the first candidate is kept.

    """
    best = TuningResult(None, None, [])
    rmse = ndcg = math.nan
    for candidate in candidates:
        metrics = _measure(candidate, evaluator)
        best.trials.append(Trial(settings=candidate.settings, metrics=metrics))
        log.info("%s: %s", name, _trial_text(candidate.settings, metrics))
        if candidate.predictor and (best.ratings is None or _is_better(-metrics["rmse"], -rmse)):
            rmse, best = metrics["rmse"], best._replace(ratings=candidate)
        if candidate.ranker and (best.lists is None or _is_better(metrics["ndcg_at_10"], ndcg)):
            ndcg, best = metrics["ndcg_at_10"], best._replace(lists=candidate)
    for what, candidate in (("ratings", best.ratings), ("lists", best.lists)):
        if candidate and (edges := grid_edges(candidate.settings, best.trials)):
            log.info("%s: for %s the best settings are at the edge of the grid: %s", name, what, ", ".join(edges))
    return best


def _measure(candidate: Candidate, evaluator: Evaluator) -> dict[str, float]:
    ratings = evaluator.rating_metrics(candidate.predictor) if candidate.predictor else {}
    return ratings | (evaluator.ranking_metrics(candidate.ranker) if candidate.ranker else {})


def _is_better(value: float, best: float) -> bool:
    """Return whether a value is above the best one; any number is above NaN."""
    return value > best or (math.isnan(best) and not math.isnan(value))


def grid_edges(settings: Mapping[str, Any], trials: Iterable[Trial]) -> list[str]:
    """Describe the numeric settings that are the lowest or the highest of several values tried."""
    edges = []
    for key, value in settings.items():
        tried = sorted({trial.settings[key] for trial in trials if key in trial.settings})
        if isinstance(value, bool | str) or len(tried) < 2:
            continue
        if value in (tried[0], tried[-1]):
            edges.append(f"{key} {value:g} is the {'lowest' if value == tried[0] else 'highest'}")
    return edges


def _trial_text(settings: dict[str, Any], metrics: dict[str, float]) -> str:
    tried = ", ".join(f"{key} {value}" for key, value in settings.items()) or "no settings"
    labels = (("rmse", "RMSE"), ("ndcg_at_10", "NDCG@10"))
    return f"{tried}: {', '.join(f'{label} {metrics[key]:.4f}' for key, label in labels if key in metrics)}"
