"""The command recommend; tests/unit/models/test_adding_a_model.py runs it on a model that has been trained."""

import numpy as np
import pytest

from tests.builders import TEN_POINTS, read_split, write_prepared
from tests.history_model import Taste
from widedeep.common.errors import InputError
from widedeep.data.feature_tables import Tables
from widedeep.models import REGISTRY, WideDeep
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.recommend import show_matches
from widedeep.scoring.list_rules import sample_ratings
from widedeep.scoring.personal import OwnRatings, require_histories


@pytest.fixture
def by_index() -> WideDeep:
    shape = dict.fromkeys(("users", "items", "user_rows", "item_rows", "wide"), 1)
    return WideDeep(WideDeepConfig(), shape, TEN_POINTS)


def test_a_model_that_knows_people_by_index_is_refused_with_the_presets_that_do_not(by_index, monkeypatch):
    require_histories(Taste([[1.0]]), "runs/taste")
    monkeypatch.setattr(REGISTRY["ncf"], "encodes_histories", True)
    with pytest.raises(InputError, match=r"in runs/wide \(wide_deep\) .*: train with --config .*ncf"):
        require_histories(by_index, "runs/wide")


def test_a_sample_has_all_ratings_of_its_users(tmp_path, monkeypatch):
    manifest = write_prepared(tmp_path)
    monkeypatch.setattr("widedeep.scoring.list_rules.USERS_ASKED", 50)
    user, item = sample_ratings(Tables(tmp_path, manifest))
    rows = read_split(tmp_path, manifest, "train")
    assert np.array_equal(np.stack([user, item], 1), rows[rows[:, 0] % 3 == 0, :2])


def test_the_summary_accounts_for_all_entries(capsys):
    none = [()] * 3
    show_matches(OwnRatings(*none, unrated=2, planned=3, remarks=(), not_found=("line 9: odd",)), 7)
    shown = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.splitlines() if "│" in line]
    assert cells == [
        ["rated", "0"],
        ["seen, not rated", "2"],
        ["planned, not rated", "3"],
        ["not found", "1"],
        ["replaced by a later rating", "1"],
    ]
