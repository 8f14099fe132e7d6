"""Trained models as Python code uses them, against what the model answers for pairs."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

import widedeep
from tests.builders import COLD, PLAYS, read_split, write_prepared
from tests.serving import HISTORY, ITEMS, USERS
from tests.training import command, train
from widedeep import recommend, similar
from widedeep.config.rerank import RerankConfig
from widedeep.models.artifact import load_artifact
from widedeep.models.base import Histories
from widedeep.schema.manifest import SPLITS, Manifest
from widedeep.scoring.loaded_model import LoadedModel

MINE = [(5003, 9), ("The Title 8", 2), ("english name 7", 10.0), (5020, None)]


class Trained(NamedTuple):
    folder: Path
    manifest: Manifest
    model: LoadedModel

    def rated(self, user: int) -> set[int]:
        """The items that a user has rated in any split."""
        rows = np.concatenate([read_split(self.folder / "prepared", self.manifest, name) for name in SPLITS])
        return set(rows[rows[:, 0] == user, 1].astype(int).tolist())

    @torch.no_grad()
    def answers(self, person: int | Histories) -> tuple[np.ndarray, np.ndarray]:
        """The affinities and the ratings, clipped, of all items for a person, as of pairs: [ITEMS] each."""
        model = load_artifact(self.folder / "run" / "model.safetensors").model
        if isinstance(person, Histories):
            encoding = model.encode_histories(person)
        else:
            encoding = model.encode_users(torch.tensor([person], dtype=torch.int32))
        items = model.encode_items(torch.arange(ITEMS, dtype=torch.int32))
        affinity, rating = (
            answer(encoding[:, None], items[None])[0] for answer in (model.score_pairs, model.rate_pairs)
        )
        return affinity.numpy(), rating.numpy().clip(1, 10)


def train_on(folder: Path, flags: dict, **prepared) -> Trained:
    manifest = write_prepared(folder / "prepared", users=USERS, items=ITEMS, features=True, **prepared)
    train(command(folder / "prepared", folder / "run", epochs=1, batch_size=512, ranking_users=0, **flags))
    return Trained(folder, manifest, widedeep.load(str(folder / "run"), data=str(folder / "prepared")))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """A model that takes histories."""
    return train_on(tmp_path_factory.mktemp("history"), HISTORY)


@pytest.fixture(scope="module")
def by_index(tmp_path_factory) -> Trained:
    """A model that knows users by their index alone."""
    return train_on(tmp_path_factory.mktemp("index"), {"model__hidden": "16,8"})


@pytest.fixture(scope="module")
def plays(tmp_path_factory) -> Trained:
    """A model of a log without ratings, whose identifiers are texts."""
    return train_on(tmp_path_factory.mktemp("plays"), HISTORY, dataset=PLAYS)


@pytest.fixture
def kind(request, trained, by_index) -> Trained:
    return {"trained": trained, "by_index": by_index}[request.param]


def mine() -> Histories:
    return Histories(torch.tensor([[3, 8, 7]], dtype=torch.int32), torch.tensor([[9.0, 2.0, 10.0]]))


@pytest.mark.parametrize("kind", ["trained", "by_index"], indirect=True)
@pytest.mark.parametrize("user", [0, 42])
def test_a_user_of_the_data_gets_the_best_items_that_they_have_not_rated(kind, user):
    found = kind.model.recommend(user_id=1000 + user, n=7)
    affinity, rating = kind.answers(user)
    best = sorted(set(range(ITEMS)) - kind.rated(user), key=lambda item: -affinity[item])[:7]
    assert [row.rank for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [row.item_id for row in found] == [5000 + item for item in best]
    assert [row.title for row in found] == [f"The Title {item}" for item in best]
    np.testing.assert_allclose([row.affinity for row in found], affinity[best], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose([row.predicted_rating for row in found], rating[best], rtol=1e-4, atol=1e-4)


def test_a_user_without_training_ratings_gets_the_most_rated_items(trained):
    cold = USERS - 1
    counts = trained.model.artifact.item_ratings
    best = sorted(set(range(ITEMS)) - trained.rated(cold), key=lambda item: (-counts[item], item))[:5]
    assert [row.item_id for row in trained.model.recommend(user_id=1000 + cold, n=5)] == [5000 + i for i in best]


def test_somebody_else_gets_a_list_by_their_ratings(trained):
    found = trained.model.recommend(history=MINE, n=6)
    affinity, rating = trained.answers(mine())
    best = sorted(set(range(ITEMS)) - {3, 8, 7, 20}, key=lambda item: -affinity[item])[:6]
    assert [row.item_id for row in found] == [5000 + item for item in best]
    np.testing.assert_allclose([row.predicted_rating for row in found], rating[best], rtol=1e-4, atol=1e-4)
    named = {reason.item_id for row in found for reason in row.reasons or ()}
    assert named
    assert named <= {5003, 5007, 5008}


def test_a_list_by_ratings_encodes_and_surveys_them_once(trained, monkeypatch):
    """Affinities, ratings and reasons are asked for one after the other."""
    model, calls = trained.model.artifact.model, []

    def note(owner: object, name: str) -> None:
        method = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, **named: (calls.append(name), method(*given, **named))[1])

    note(model, "encode_histories")
    note(model.terms, "survey")
    found = trained.model.recommend(history=MINE, n=6)
    assert any(row.reasons for row in found)
    assert calls == ["encode_histories", "survey"]
    other = trained.model.recommend(history=[(5003, 1), (5010, 9)], n=6)
    assert calls == 2 * ["encode_histories", "survey"]
    assert [row.affinity for row in other] != [row.affinity for row in found]


def test_the_ratings_may_be_numpys_and_come_from_any_iterable(trained):
    history = zip(np.array([5003, 5008, 5007, 5020]), [np.float32(9), np.int64(2), 10, None], strict=True)
    assert trained.model.recommend(history=history, n=6) == trained.model.recommend(history=MINE, n=6)


def test_lists_are_as_long_as_there_are_items(trained):
    assert len(trained.model.recommend(user_id=1000, n=1000)) == ITEMS - len(trained.rated(0))


def test_rules_choose_what_lists_hold(trained):
    rules = RerankConfig(hide=("type=type 1",))
    kinds = trained.model.trained.tables.items.category_names("type")
    found = trained.model.recommend(user_id=1042, n=ITEMS, rerank=rules)
    wanted = [row.item_id for row in trained.model.recommend(user_id=1042, n=ITEMS)]
    assert [row.item_id for row in found] == [item for item in wanted if kinds[item - 5000] != "type 1"]
    assert len(trained.model.recommend(history=MINE, rerank=RerankConfig(franchise_most=2))) == 2  # all are of one


@pytest.mark.parametrize("kind", ["trained", "by_index"], indirect=True)
def test_predicted_ratings_of_a_user(kind):
    asked = [5060, "The Title 7", 5000, 5060]
    found = kind.model.predict(user_id=1042, items=asked)
    assert (found.dtype, found.shape) == (np.float32, (4,))
    np.testing.assert_allclose(found, kind.answers(42)[1][[60, 7, 0, 60]], rtol=1e-4)


def test_predicted_ratings_of_somebody_else(trained):
    found = trained.model.predict(np.arange(5000, 5000 + ITEMS).tolist(), history=MINE)
    np.testing.assert_allclose(found, trained.answers(mine())[1], rtol=1e-4)
    assert trained.model.predict([], history=MINE).shape == (0,)


def test_a_user_and_their_training_ratings_are_one(trained):
    rows = read_split(trained.folder / "prepared", trained.manifest, "train")
    rows = rows[rows[:, 0] == 42]
    history = [(5000 + int(item), float(rating)) for _, item, rating in rows]
    items = list(range(5000, 5000 + ITEMS))
    by_id, by_ratings = trained.model.predict(items, user_id=1042), trained.model.predict(items, history=history)
    unrated = [item for item in range(ITEMS) if item not in rows[:, 1]]
    np.testing.assert_allclose(by_id[unrated], by_ratings[unrated], rtol=2e-3)  # new histories add to the Gram matrix


@pytest.mark.parametrize("kind", ["trained", "by_index"], indirect=True)
def test_neighbours_of_an_item(kind):
    model = load_artifact(kind.folder / "run" / "model.safetensors")
    with torch.no_grad():
        vectors = model.model.item_vectors(torch.arange(ITEMS, dtype=torch.int32)).numpy()
    cosines = cosine_similarity(vectors)[7]
    cosines[(model.item_ratings < 10) | (np.arange(ITEMS) == 7)] = -2
    best = np.argsort(-cosines, kind="stable")[:4]
    found = kind.model.similar(5007, n=4)
    assert found == kind.model.similar("The Title 7", n=4)
    assert [row.rank for row in found] == [1, 2, 3, 4]
    assert [row.id for row in found] == [5000 + item for item in best]
    assert [row.name for row in found] == [f"The Title {item}" for item in best]
    assert [row.train_ratings for row in found] == model.item_ratings[best].tolist()
    np.testing.assert_allclose([row.cosine for row in found], cosines[best], rtol=1e-4, atol=1e-5)


def test_neighbours_of_a_user(by_index):
    found = by_index.model.similar_users(1042, n=USERS, min_ratings=1)
    assert len(found) == USERS - COLD - 1
    assert {row.id for row in found}.isdisjoint({1042, 1149})
    assert found[0].name == f"member {int(found[0].id) - 1000}"


def test_guessed_titles_are_told(trained, caplog):
    trained.model.similar("English Name 7")
    trained.model.recommend(history=MINE)
    assert [(entry.levelname, entry.getMessage()) for entry in caplog.records] == [
        ("WARNING", "item: 'English Name 7' is taken for 'The Title 7'"),
        ("WARNING", "history[2]: 'english name 7' is taken for 'The Title 7'"),
    ]


def test_texts_as_identifiers_and_a_model_that_only_ranks(plays):
    found = plays.model.recommend(user_id="u1042", n=3)
    assert found[0].predicted_rating is None
    assert {row.item_id for row in found}.isdisjoint(f"é{5000 + item}" for item in plays.rated(42))
    by_title = plays.model.recommend(history=[("é5003", 1), ("The Title 8", 1)], n=3)
    assert by_title == plays.model.recommend(history=[("The Title 3", 1), ("é5008", 1)], n=3)
    assert plays.model.similar("é5007") == plays.model.similar("The Title 7")
    assert str(plays.model.similar("é5007")[0].id).startswith("é")
    with pytest.raises(
        widedeep.InputError, match=r"was trained to rank only, so it predicts no ratings: .* --loss mse"
    ):
        plays.model.predict(["é5007"], user_id="u1042")


WRONG = {
    "neither": ({}, "give either user_id, .* or history"),
    "both": ({"user_id": 1042, "history": MINE}, "give either user_id, .* or history"),
    "user": ({"user_id": 7}, "user 7 is not among the 150 users of the data"),
    "no user id": ({"user_id": "me"}, "user 'me' is no whole number, as identifiers of this data set are"),
    "item": ({"history": [(5003, 9), (77, 8)]}, r"history\[1\]: item_id 77 is not in the data: leave out what"),
    "title": ({"history": [("zzz", 9)]}, r"history\[0\]: no title is 'zzz' or nearly so: leave out what"),
    "above": ({"history": [(5003, 9), (5004, 11)]}, r"history\[1\]: rating 11 is no number of 1-10; give None"),
    "below": ({"history": [(5003, 0)]}, r"history\[0\]: rating 0 is no number of 1-10; give None"),
    "nan": ({"history": [(5003, float("nan"))]}, r"history\[0\]: rating nan is no number of 1-10; give None"),
    "text": ({"history": [(5003, "9")]}, r"history\[0\]: rating '9' is no number of 1-10; give None"),
    "no pairs": ({"history": [5003, 9]}, r"history\[0\] is 5003: give a pair of identifier or title, and rating"),
    "empty": ({"history": []}, "history has no rating, so there is nothing to go by"),
    "unrated": ({"history": [(5003, None)]}, "history has no rating, so there is nothing to go by"),
}


@pytest.mark.parametrize(("asked", "said"), WRONG.values(), ids=WRONG)
def test_wrong_people_are_named(trained, asked, said):
    with pytest.raises(widedeep.InputError, match=said):
        trained.model.recommend(**asked)
    with pytest.raises(widedeep.InputError, match=said):
        trained.model.predict([5003], **asked)


def test_wrong_items_and_counts_are_named(trained):
    with pytest.raises(widedeep.InputError, match=r"items\[1\]: item_id 77 is not in the data"):
        trained.model.predict([5003, 77], user_id=1042)
    with pytest.raises(widedeep.InputError, match=r"item: no title is 'zzz' or nearly so"):
        trained.model.similar("zzz")
    with pytest.raises(widedeep.InputError, match="user 7 is not among the 150 users"):
        trained.model.similar_users(7)
    for ask in (trained.model.recommend, trained.model.similar_users):
        with pytest.raises(widedeep.InputError, match="n is 0: ask for at least 1"):
            ask(user_id=1042, n=0)


def test_a_model_that_takes_no_histories_is_refused_with_the_remedy(by_index):
    for ask in (by_index.model.recommend, lambda history: by_index.model.predict([5003], history=history)):
        with pytest.raises(
            widedeep.InputError, match=r"knows people by their index alone.*: train with --config .*best"
        ):
            ask(history=MINE)


def test_the_commands_say_the_same(trained, tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("title,rating\nThe Title 3,9\nThe Title 8,2\nenglish name 7,10\nThe Title 20,\n")
    places = ["--run-dir", str(trained.folder / "run"), "--data", str(trained.folder / "prepared")]
    recommend.main([*places, "--ratings", str(tmp_path / "mine.csv"), "--top-n", "3"])
    similar.main([*places, "--title", "The Title 7", "--top", "3"])
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in capsys.readouterr().out.splitlines()]
    listed = [[str(row.rank), str(row.item_id), row.title] for row in trained.model.recommend(history=MINE, n=3)]
    alike = [[str(row.rank), str(row.id), row.name] for row in trained.model.similar(5007, n=3)]
    assert [row[:3] for row in cells if row[0].isdigit()] == listed + alike


def test_a_run_or_data_that_is_not_there_is_named(trained, tmp_path):
    with pytest.raises(widedeep.InputError, match=r"model .*none/model.safetensors does not exist: train one"):
        widedeep.load(tmp_path / "none", data=trained.folder / "prepared")
    with pytest.raises(widedeep.InputError, match=r"none holds no manifest.json: it was not prepared"):
        widedeep.load(trained.folder / "run", data=tmp_path / "none")


def test_to_import_the_package_imports_no_engine():
    code = "import sys, widedeep; print(*{'torch', 'numpy', 'pyarrow', 'pyspark', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
