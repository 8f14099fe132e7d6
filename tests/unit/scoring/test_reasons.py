"""Explanations as columns of lists, by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.builders import MAL
from tests.history_model import CandidTaste, taste_artifact
from widedeep.models.base import Explanation
from widedeep.schema.recommendations import list_schema
from widedeep.scoring.reasons import Reasons
from widedeep.scoring.scorer import Scorer, TopItems
from widedeep.scoring.user_lists import ListPlan, list_batch, score_batches

ARTIFACT = taste_artifact([[1.0], [2.0], [3.0]], [3, 2, 1], CandidTaste)
TITLES = pa.array(["Gintama", "Gintama'", "Mushishi"])
# Of two users; the second has a list of one item.
TOP = TopItems(np.array([[1, 0], [2, -1]]), np.array([[3.0, 2.0], [5.0, -np.inf]]), np.zeros((2, 2)))


def explanation() -> Explanation:
    """Parts 1 + 1 + 1, 1 + 1 + 1 and 2 + 1 + 1, of which the first adds up to the affinity alone."""
    wide = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    items = torch.tensor([[[0, 2, -1], [-1, -1, -1]], [[1, 0, 2], [-1, -1, -1]]])
    ratings = torch.tensor([[[9.0, 7.5, 0.0], [0.0] * 3], [[10.0, 8.0, 6.0], [0.0] * 3]])
    shares = torch.tensor([[[0.5, 0.25, 0.0], [0.0] * 3], [[0.75, 0.125, 0.0625], [0.0] * 3]])
    return Explanation(wide, torch.ones(2, 2), torch.ones(2, 2), items, ratings, shares)


def rows_of(reasons: Reasons | None) -> list[dict]:
    batch = list_batch(ARTIFACT, TITLES, np.array([7, 8]), TOP, reasons)
    assert batch.schema == list_schema(MAL.ids)
    return batch.select(["user_id", "affinity_wide", "affinity_content", "affinity_deep", "reasons"]).to_pylist()


def named(*reasons: tuple[int, str, float, float]) -> list[dict]:
    return [dict(zip(("anime_id", "title", "rating", "share"), reason, strict=True)) for reason in reasons]


def test_parts_that_add_up_and_all_reasons_are_in_the_rows():
    reasons = Reasons.none(2, 2)
    reasons.fill(np.array([0, 1]), explanation(), TOP.affinities)
    none = {"affinity_wide": None, "affinity_content": None, "affinity_deep": None}
    assert rows_of(reasons) == [
        {
            **{"user_id": 7, "affinity_wide": 1.0, "affinity_content": 1.0, "affinity_deep": 1.0},
            "reasons": named((10, "Gintama", 9.0, 0.5), (30, "Mushishi", 7.5, 0.25)),
        },
        {"user_id": 7, **none, "reasons": []},
        {
            **{"user_id": 8, **none},
            "reasons": named((20, "Gintama'", 10.0, 0.75), (10, "Gintama", 8.0, 0.125), (30, "Mushishi", 6.0, 0.0625)),
        },
    ]


def test_rounding_does_not_hide_the_parts():
    reasons = Reasons.none(1, 1)
    ones = torch.ones(1, 1)
    for affinity, known in ((3.0 + 1e-3, True), (3.0 + 1e-2, False)):
        none, zeros = torch.full((1, 1, 3), -1), torch.zeros(1, 1, 3)
        explained = Explanation(ones, ones, ones, none, zeros, zeros)
        reasons.fill(np.array([0]), explained, np.array([[affinity]]))
        assert np.isfinite(reasons.parts).all() == known


def test_without_an_explanation_all_is_null():
    none = dict.fromkeys(("affinity_wide", "affinity_content", "affinity_deep", "reasons"))
    assert rows_of(None) == [{"user_id": user, **none} for user in (7, 7, 8)]


class ByIndex(CandidTaste):
    """The user with index u is u + 1."""

    cold_users_alike = True

    def encode_users(self, user: torch.Tensor) -> torch.Tensor:
        return user[:, None] + 1.0


@pytest.mark.parametrize("reasons", [True, False])
def test_lists_of_many_users_tell_why_but_for_cold_users(reasons):
    artifact = taste_artifact([[1.0], [2.0], [3.0]], [3, 2, 1], ByIndex)
    artifact = replace(artifact, user_id=np.array([7, 8]), user_ratings=np.array([1, 0], np.int32))
    columns = {"user": [0, 1], "user_id": [7, 8], "seen": [[2], None]}
    types = (pa.int32(), pa.int64(), pa.list_(pa.int32()))
    users = pa.record_batch([pa.array(v, t) for v, t in zip(columns.values(), types, strict=True)], list(columns))
    plan = ListPlan(TITLES, top_n=1, reasons=reasons)
    warm, cold = pa.Table.from_batches(score_batches(artifact, Scorer(artifact.model, 3), [users], plan)).to_pylist()
    assert (warm["title"], warm["affinity"], cold["title"]) == ("Gintama'", 2.0, "Gintama")
    assert (warm["affinity_wide"], cold["affinity_wide"]) == (1.0 if reasons else None, None)
    assert warm["reasons"] == (named((30, "Mushishi", 9.0, 0.5), (10, "Gintama", 8.0, 0.125)) if reasons else None)
    assert cold["reasons"] == ([] if reasons else None)
