"""The command recommend; tests/unit/models/test_adding_a_model.py runs it on a model that has been trained."""

import numpy as np
import pytest

from tests.builders import TEN_POINTS, read_split, write_prepared
from tests.history_model import Taste
from widedeep.common.errors import InputError
from widedeep.data.feature_tables import Tables
from widedeep.models import REGISTRY, WideDeep
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.recommend import require_histories, sample_ratings, show_list, show_matches
from widedeep.schema.recommendations import LIST_SCHEMA, Recommendation
from widedeep.scoring.personal import OwnRatings


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


def test_the_list_is_shown_as_others_are(capsys):
    row = Recommendation(rank=1, anime_id=5114, title="Steins;Gate", affinity=1.23456, predicted_rating=8.765)
    show_list([row])
    shown = capsys.readouterr().out
    assert [word for word in shown.replace("┃", "│").split("│")[1:-1] if word.strip()]
    assert all(text in shown for text in ("Steins;Gate", "5114", "1.2346", "8.77"))
    assert list(Recommendation.model_fields) == [name for name in LIST_SCHEMA.names if name != "user_id"]


def test_a_rating_that_is_not_predicted_is_not_shown(capsys):
    show_list([Recommendation(rank=1, anime_id=5114, title="Steins;Gate", affinity=1.23456, predicted_rating=None)])
    assert [cell.strip() for cell in capsys.readouterr().out.split("│")[1:-1]] == [
        "1",
        "5114",
        "Steins;Gate",
        "1.2346",
        "",
    ]
