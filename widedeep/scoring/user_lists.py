"""Lists of many users as Arrow batches, cold users included; needs no Spark.

Legend: U users of a block, I items, N recommended items.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from widedeep.models.artifact import Artifact
from widedeep.schema.recommendations import LIST_SCHEMA
from widedeep.scoring.cold_start import ColdStartRanker, ColdUsers
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.scorer import USERS_PER_BLOCK, Scorer, TopItems

# The columns of the lists with the item's index in place of its title, which Spark joins to it.
SCORED_SCHEMA = LIST_SCHEMA.remove(LIST_SCHEMA.get_field_index("title")).append(pa.field("item", pa.int32()))


class UserBlock(NamedTuple):
    """Users to make lists for."""

    user: np.ndarray  # [U] int32 user indexes
    user_id: np.ndarray  # [U] int64
    cold: np.ndarray  # [U] bool, whether the list comes from the ColdStartRanker
    seen: list[np.ndarray]  # the item indexes that each list leaves out

    def part(self, low: int, high: int) -> "UserBlock":
        """Return the users from `low` up to `high`."""
        return UserBlock(self.user[low:high], self.user_id[low:high], self.cold[low:high], self.seen[low:high])


def score_batches(
    artifact: Artifact,
    scorer: Scorer,
    batches: Iterator[pa.RecordBatch],
    top_n: int,
    cold_users: ColdUsers,
    rules: ListRules | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the lists of users as batches of SCORED_SCHEMA.

    Args:
        artifact: the trained model.
        scorer: scores all items.
        batches: of the columns user, user_id, train_ratings and seen (item indexes to leave out, null for none).
        top_n: length of the lists.
        cold_users: what users without training ratings get.
        rules: what lists may hold and how they are chosen; None: they are the best items.

    """
    ranker = None
    for batch in batches:
        users = _user_block(batch, cold_users == "model" and not artifact.model.cold_users_alike)
        if users.cold.any() and ranker is None:
            ranker = ColdStartRanker(artifact, scorer, cold_users, int(users.user[users.cold][0]))
        for low in range(0, len(users.user), USERS_PER_BLOCK):
            yield score_block(artifact, scorer, ranker, users.part(low, low + USERS_PER_BLOCK), top_n, rules)


def _user_block(batch: pa.RecordBatch, scored_as_warm: bool) -> UserBlock:
    """Return the users of a batch; none of them is cold if the model tells cold users apart and shall rank for them."""
    cold = batch.column("train_ratings").to_numpy() == 0
    if scored_as_warm:
        cold[:] = False
    seen = [np.asarray(s.values, np.int64) if s.is_valid else np.empty(0, np.int64) for s in batch.column("seen")]
    return UserBlock(batch.column("user").to_numpy(), batch.column("user_id").to_numpy(), cold, seen)


def score_block(
    artifact: Artifact,
    scorer: Scorer,
    ranker: ColdStartRanker | None,
    block: UserBlock,
    top_n: int,
    rules: ListRules | None = None,
) -> pa.RecordBatch:
    """Return the lists of a block of users as a batch of SCORED_SCHEMA; `ranker` may be None if nobody is cold."""
    if rules is None:
        top = top_items(artifact, scorer, ranker, block, top_n)
    else:
        block = block._replace(seen=rules.leave_out(block.seen))
        top = rules.choose(top_items(artifact, scorer, ranker, block, rules.config.pool(top_n)), top_n)
    return _list_batch(artifact, block.user_id, top)


def top_items(artifact: Artifact, scorer: Scorer, ranker: ColdStartRanker | None, block: UserBlock, n: int) -> TopItems:
    """Return the best items of a block of users; see `score_block`."""
    n = min(n, len(artifact.anime_id))
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


def _list_batch(artifact: Artifact, user_id: np.ndarray, top: TopItems) -> pa.RecordBatch:
    """Return a row for each item of the lists; a user may have fewer than N unseen items."""
    rows, ranks = np.nonzero(top.items >= 0)
    item, scale = top.items[rows, ranks], artifact.scale
    clipped = np.clip(top.ratings[rows, ranks], scale.lowest, scale.highest)
    rated = clipped if artifact.model.rates else pa.nulls(len(clipped), pa.float32())
    columns = (user_id[rows], ranks + 1, artifact.anime_id[item], top.affinities[rows, ranks], rated, item)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCORED_SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=SCORED_SCHEMA)
