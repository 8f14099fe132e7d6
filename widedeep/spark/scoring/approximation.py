"""Fit the approximation of the two-stage method and measure its recall."""

from typing import NamedTuple

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.common.console import log
from widedeep.config.score import ScoreConfig
from widedeep.models.artifact import Artifact
from widedeep.schema.recommendations import Recall
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.two_stage import FIT_USERS, Approximation, TwoStageScorer, fit, recall
from widedeep.spark.partitioning import Salt, hash_key

WANTED_RECALL = 0.99  # a lower recall is warned of


class FittedApproximation(NamedTuple):
    """The approximation, and how many of the exact lists' items it finds."""

    approximation: Approximation
    recall: Recall


def fit_approximation(
    config: ScoreConfig, artifact: Artifact, users: DataFrame, seen: DataFrame
) -> FittedApproximation | None:
    """Fit the two-stage method's approximation; return None if every pair is to be scored.

    Args:
        config: settings of the job.
        artifact: the trained model.
        users: user, user_id and train_ratings of the users to score.
        seen: user and the items that the user's list leaves out.

    """
    if config.method == "exact":
        return None
    if artifact.model.chooses_candidates:
        log.warning("%s chooses candidates itself: it scores as with --method exact", artifact.config.name)
        return None
    warm = np.flatnonzero(artifact.user_ratings > 0).astype(np.int32)
    items, candidates = len(artifact.item_id), config.candidates_each
    if candidates >= items or len(warm) < 2:
        log.info("%s items, %s users with ratings: every pair is scored", f"{items:,}", f"{len(warm):,}")
        return None
    sample, hidden = sample_for_recall(users, seen, min(config.recall_users, len(warm) // 2))
    if not len(sample):
        return None  # no user to score has ratings
    log.info("approximating the affinities by those to %d landmarks", min(config.landmarks, items))
    # Recall is measured on users that the approximation is not fitted to.
    others = np.random.default_rng(0).permutation(np.setdiff1d(warm, sample))
    scorer = Scorer(artifact.model, items)
    approximation = fit(scorer, others[:FIT_USERS], config.landmarks)
    two_stage = TwoStageScorer(artifact.model, items, approximation, candidates)
    exact, approximate = (s.top(sample, hidden, config.top_n).items for s in (scorer, two_stage))
    measured = Recall(value=recall(exact, approximate), users=len(sample), candidates=candidates)
    if measured.value < WANTED_RECALL:
        log.warning(
            "recall@%d is %.4f, below %g: raise --candidates (%d) or --landmarks (%d), or score with --method exact",
            *(config.top_n, measured.value, WANTED_RECALL, candidates, config.landmarks),
        )
    return FittedApproximation(approximation, measured)


def sample_for_recall(users: DataFrame, seen: DataFrame, count: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the indexes and the seen items of `count` users with training ratings, sampled by a hash of their id."""
    warm = users.where(F.col("train_ratings") > 0)
    sample = warm.orderBy(hash_key(F.col("user_id"), Salt.RECALL_SAMPLE)).limit(count)
    indexes = sorted(row["user"] for row in sample.collect())
    rows = seen.where(F.col("user").isin(indexes)).collect()
    items = {row["user"]: np.array(row["seen"], np.int64) for row in rows}
    return np.array(indexes, np.int32), [items.get(user, np.empty(0, np.int64)) for user in indexes]
