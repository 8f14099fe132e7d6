"""Lists of many users as Arrow batches, cold users included; needs no Spark.

Legend: U users of a block, I items, N recommended items.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from widedeep.models.artifact import Artifact
from widedeep.schema.recommendations import Recommendation, id_type, list_schema, parse_row
from widedeep.scoring.cold_start import ColdStartRanker, ColdUsers
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.pairs import require_finite
from widedeep.scoring.reasons import Reasons
from widedeep.scoring.scorer import USERS_PER_BLOCK, Scorer, TopItems


@dataclass(frozen=True)
class ListPlan:
    """What lists to make; can be sent to other machines."""

    titles: pa.Array  # of all items
    top_n: int  # length of the lists
    cold_users: ColdUsers = "popular"  # what users without training ratings get
    rules: ListRules | None = None  # what lists may hold and how they are chosen; None: they are the best items
    reasons: bool = True  # whether to tell why, if the model can


class UserBlock(NamedTuple):
    """Users to make lists for."""

    user: np.ndarray  # [U] int32 user indexes
    user_id: np.ndarray  # [U] int64, or texts
    cold: np.ndarray  # [U] bool, whether the list comes from the ColdStartRanker
    seen: list[np.ndarray]  # the item indexes that each list leaves out

    def part(self, low: int, high: int) -> "UserBlock":
        """Return the users from `low` up to `high`."""
        return UserBlock(self.user[low:high], self.user_id[low:high], self.cold[low:high], self.seen[low:high])


def score_batches(
    artifact: Artifact, scorer: Scorer, batches: Iterator[pa.RecordBatch], plan: ListPlan
) -> Iterator[pa.RecordBatch]:
    """Yield the lists of users as batches of `list_schema`.

    Args:
        artifact: the trained model.
        scorer: scores all items.
        batches: of the columns user, user_id and seen (item indexes to leave out, null for none).
        plan: what lists to make.

    """
    ranker = None
    for batch in batches:
        users = _user_block(artifact, batch, plan.cold_users == "model" and not artifact.model.cold_users_alike)
        if users.cold.any() and ranker is None:
            ranker = ColdStartRanker(artifact, scorer, plan.cold_users, int(users.user[users.cold][0]))
        for low in range(0, len(users.user), USERS_PER_BLOCK):
            yield score_block(artifact, scorer, ranker, users.part(low, low + USERS_PER_BLOCK), plan)


def list_of_user(
    artifact: Artifact, scorer: Scorer, user: int, seen: np.ndarray, plan: ListPlan
) -> list[Recommendation]:
    """Return the list that batch scoring makes for a user of the data, best first.

    Args:
        artifact: the trained model.
        scorer: scores all items.
        user: user index.
        seen: int32 indexes of the items to leave out.
        plan: what list to make.

    """
    batch = pa.record_batch(
        {
            "user": pa.array([user], pa.int32()),
            "user_id": pa.array(artifact.user_id[[user]], id_type(artifact.ids)),
            "seen": pa.array([seen], pa.list_(pa.int32())),
        }
    )
    lists = score_batches(artifact, scorer, iter([batch]), plan)
    return [parse_row(row, artifact.ids) for one in lists for row in one.to_pylist()]


def _user_block(artifact: Artifact, batch: pa.RecordBatch, scored_as_warm: bool) -> UserBlock:
    """Return the users of a batch; none of them is cold if the model tells cold users apart and shall rank for them."""
    user = batch.column("user").to_numpy()
    cold = artifact.user_ratings[user] == 0
    if scored_as_warm:
        cold[:] = False
    seen = [np.asarray(s.values, np.int64) if s.is_valid else np.empty(0, np.int64) for s in batch.column("seen")]
    return UserBlock(user, batch.column("user_id").to_numpy(zero_copy_only=False), cold, seen)


def score_block(
    artifact: Artifact, scorer: Scorer, ranker: ColdStartRanker | None, block: UserBlock, plan: ListPlan
) -> pa.RecordBatch:
    """Return the lists of a block of users as a batch of `list_schema`; `ranker` may be None if nobody is cold."""
    top_n, rules = plan.top_n, plan.rules
    if rules is None:
        top = top_items(artifact, scorer, ranker, block, top_n)
    else:
        block = block._replace(seen=rules.leave_out(block.seen))
        top = rules.choose(top_items(artifact, scorer, ranker, block, rules.config.pool(top_n)), top_n)
    reasons = explain_lists(scorer, block, top) if plan.reasons and artifact.model.explains else None
    return list_batch(artifact, plan.titles, block.user_id, top, reasons)


def top_items(artifact: Artifact, scorer: Scorer, ranker: ColdStartRanker | None, block: UserBlock, n: int) -> TopItems:
    """Return the best items of a block of users; see `score_block`."""
    n = min(n, len(artifact.item_id))
    items = np.full((len(block.user), n), -1, np.int64)
    affinities, ratings = (np.zeros(items.shape, np.float32) for _ in range(2))
    warm = np.flatnonzero(~block.cold)
    if len(warm):
        top = scorer.top(block.user[warm], [block.seen[row] for row in warm], n)
        items[warm], affinities[warm], ratings[warm] = top
    if block.cold.any():
        if ranker is None:
            raise ValueError("a block with cold users needs a ColdStartRanker")
        for row in np.flatnonzero(block.cold):
            best = ranker.top(block.seen[row], n)
            items[row, : len(best)], affinities[row, : len(best)] = best, ranker.affinities[best]
        ratings[block.cold] = ranker.ratings(block.user[block.cold], items[block.cold])
    return TopItems(items, affinities, ratings)


def explain_lists(scorer: Scorer, block: UserBlock, top: TopItems) -> Reasons:
    """Explain the lists of a block of users; nothing is known of those of cold users."""
    reasons = Reasons.none(*top.items.shape)
    warm = np.flatnonzero(~block.cold)
    if len(warm):
        explanation = scorer.explain(block.user[warm], top.items[warm].clip(min=0))
        reasons.fill(warm, explanation, top.affinities[warm])
    return reasons


def list_batch(
    artifact: Artifact, titles: pa.Array, user_id: np.ndarray, top: TopItems, reasons: Reasons | None
) -> pa.RecordBatch:
    """Return lists as a batch of `list_schema`, a row for each item; a user may have fewer than N unseen items.

    Args:
        artifact: the trained model.
        titles: of all items.
        user_id: [U].
        top: the lists.
        reasons: their explanations; None if the model gives none.

    Raises:
        DivergedError: an affinity or a rating is infinite or NaN.

    """
    rows, ranks = np.nonzero(top.items >= 0)
    item, scale = top.items[rows, ranks], artifact.scale
    affinities, ratings = top.affinities[rows, ranks], top.ratings[rows, ranks]
    require_finite(affinities, user_id[rows], "affinities")
    require_finite(ratings, user_id[rows], "ratings")
    columns = {
        "user_id": user_id[rows],
        "rank": (ranks + 1).astype(np.int32),
        artifact.ids.item: artifact.item_id[item],
        "title": titles.take(pa.array(item)),
        "affinity": affinities.astype(np.float32),
    }
    if artifact.model.rates:
        columns["predicted_rating"] = np.clip(ratings, scale.lowest, scale.highest).astype(np.float32)
    if reasons is not None:
        columns |= reasons.columns(rows, ranks, artifact.item_id, titles, artifact.ids)
    schema = list_schema(artifact.ids)
    missing = {field.name: pa.nulls(len(rows), field.type) for field in schema}
    return pa.record_batch(list((missing | columns).values()), schema=schema)
