"""The commands similar and export."""

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from tests.builders import GENRES, write_prepared
from tests.training import command, train
from widedeep import export, similar
from widedeep.common.errors import InputError
from widedeep.common.lock import Lock
from widedeep.models.artifact import load_artifact
from widedeep.scoring.vectors import load_trained, nearest


def test_neighbours_as_scikit_learn_finds_them():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(200, 6)).astype(np.float32)
    allowed = random.random(200) < 0.5
    allowed[17] = True
    unit = torch.nn.functional.normalize(torch.from_numpy(vectors), dim=1)
    indexes, cosines = nearest(unit, 17, torch.from_numpy(allowed), 9)
    known = np.flatnonzero(allowed)
    distances, order = NearestNeighbors(metric="cosine").fit(vectors[known]).kneighbors(vectors[17:18], 10)
    assert indexes.tolist() == known[order[0, 1:]].tolist()  # the nearest is itself
    np.testing.assert_allclose(cosines.numpy(), 1 - distances[0, 1:], atol=1e-6)


def test_fewer_neighbours_than_asked_for():
    indexes, cosines = nearest(torch.eye(3), 0, torch.tensor([True, True, False]), 5)
    assert indexes.tolist() == [1]
    assert cosines.tolist() == [0.0]


@pytest.fixture(scope="module", params=["wide_deep", "genre_hybrid"])
def run(request, tmp_path_factory):
    """A prepared directory, with titles, and a short run on it."""
    folder = tmp_path_factory.mktemp("similar")
    write_prepared(folder / "prepared", features=True)
    flags = {"model__name": request.param, "model__hidden": "16,8", "epochs": 1, "ranking_users": 0}
    train(command(folder / "prepared", folder / "run", **flags))
    return folder


def flags(folder, *more: str) -> list[str]:
    return ["--run-dir", str(folder / "run"), "--data", str(folder / "prepared"), *more]


def test_similar_prints_the_nearest_items(run, capsys):
    similar.main(flags(run, "--title", "the title 7", "--top", "4"))
    shown = capsys.readouterr().out
    model = load_artifact(run / "run" / "model.safetensors")
    with torch.no_grad():
        vectors = model.model.item_vectors(torch.arange(61, dtype=torch.int32)).numpy()
    cosines = cosine_similarity(vectors)[7]
    cosines[(model.item_ratings < 10) | (np.arange(61) == 7)] = -1
    best = np.argsort(-cosines)[:4]
    lines = [line for line in shown.splitlines() if "│" in line]
    assert [int(line.split("│")[2]) for line in lines] == (5000 + best).tolist()
    assert f"{cosines[best[0]]:.4f}" in lines[0]
    assert "like The Title 7" in shown


def test_similar_prints_the_nearest_users(run, capsys):
    similar.main(flags(run, "--user", "1003", "--top", "3"))
    assert len([line for line in capsys.readouterr().out.splitlines() if "│" in line]) == 3
    with pytest.raises(InputError, match="user 77 is not among the 150 users"):
        similar.main(flags(run, "--user", "77"))


def test_similar_finds_an_item_by_its_english_title(run, capsys):
    similar.main(flags(run, "--title", "english name 7", "--top", "1"))
    assert "like The Title 7 (" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [[], ["--user", "3", "--title", "x"]])
def test_either_a_title_or_a_user(run, asked):
    with pytest.raises(InputError, match="give either --title or --user"):
        similar.main(flags(run, *asked))


def test_a_run_on_other_data_is_refused(run, tmp_path):
    write_prepared(tmp_path / "other", seed=5)
    with pytest.raises(InputError, match="was trained on other data"):
        load_trained(run / "run", tmp_path / "other")


def test_export_holds_vocabularies_scalers_the_rating_scale_and_unit_vectors(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("widedeep.scoring.vectors.VECTORS_PER_BLOCK", 50)  # several blocks
    output = tmp_path / "export"
    export.main(flags(run, "--output", str(output)))
    capsys.readouterr()
    trained = load_trained(run / "run", run / "prepared")
    encoders = pq.read_table(output / "encoders.parquet").to_pandas()
    assert encoders[encoders["column"] == "genres"]["value"].tolist() == list(GENRES)
    assert encoders.groupby("column")["code"].apply(list)["gender"] == [0, 1, 2, 3]
    scale = {"lowest": 1.0, "highest": 10.0, "step": 1.0, "liked": 8.0, "implicit": False}
    assert pq.read_table(output / "rating_scale.parquet").to_pylist() == [scale]
    for side, name, key, count in (("users", "users", "user_id", 150), ("items", "items", "anime_id", 61)):
        frame = pq.read_table(output / f"{name}.parquet").to_pandas()
        ids = trained.artifact.user_id if side == "users" else trained.artifact.item_id
        assert frame[key].tolist() == ids.tolist()
        assert frame[{"users": "user", "items": "item"}[side]].tolist() == list(range(count))
        vectors = np.stack(frame["vector"])
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(count), abs=1e-5)
        assert np.array_equal(vectors, trained.vectors(side).numpy())
    rows = json.loads((output / "_manifest.json").read_text())["rows"]
    assert (rows["items.parquet"], rows["rating_scale.parquet"]) == (61, 1)


def test_export_replaces_an_export_and_nothing_else(run, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    with pytest.raises(InputError, match="holds files that are no export"):
        export.main(flags(run, "--output", str(tmp_path / "mine")))
    assert (tmp_path / "mine" / "thesis.tex").exists()
    again = flags(run, "--output", str(tmp_path / "export"))
    export.main(again)
    with pytest.raises(InputError, match="holds an export already: give --overwrite"):
        export.main(again)
    export.main([*again, "--overwrite"])
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".export.lock", ".mine.lock"]


def test_an_export_that_a_kill_has_moved_aside_is_put_back_and_only_replaced_if_asked_to(run, tmp_path):
    again = flags(run, "--output", str(tmp_path / "export"))
    export.main(again)
    (tmp_path / "export").rename(tmp_path / ".export.former")
    with pytest.raises(InputError, match="holds an export already: give --overwrite"):
        export.main(again)
    assert (tmp_path / "export" / "users.parquet").exists()


def test_a_second_export_to_the_same_directory_is_refused(run, tmp_path):
    (tmp_path / "export").mkdir()
    with (
        Lock(tmp_path / ".export.lock", "export", "wait"),
        pytest.raises(InputError, match=rf"output .*export is in use by process {os.getpid()} on "),
    ):
        export.main(flags(run, "--output", str(tmp_path / "export")))
    assert not any((tmp_path / "export").iterdir())


@pytest.mark.parametrize("place", ["/", "."])
def test_an_export_does_not_replace_what_has_no_name(run, tmp_path, monkeypatch, place):
    (tmp_path / "thesis.tex").write_text("years")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="holds files that are no export"):
        export.main(flags(run, "--output", place, "--overwrite"))
    assert (tmp_path / "thesis.tex").exists()


def test_an_export_does_not_replace_a_file(run, tmp_path):
    (tmp_path / "notes").write_text("years")
    with pytest.raises(InputError, match="notes holds files that are no export"):
        export.main(flags(run, "--output", str(tmp_path / "notes"), "--overwrite"))
    assert (tmp_path / "notes").read_text() == "years"


def test_scalers_are_the_manifests():
    from widedeep.schema.manifest import Manifest, Numeric, Table

    fitted = Numeric(impute="mean", fill=2.0, scaler="standard", center=1.5, scale=0.25, missing=3, unparsed=0)
    empty = Table(files=(), rows=0, columns=(), numeric={}, vocabularies={})
    manifest = Manifest.model_construct(users=empty, items=empty.model_copy(update={"numeric": {"episodes": fitted}}))
    row = {"impute": "mean", "fill": 2.0, "scaler": "standard", "center": 1.5, "scale": 0.25}
    assert export.scaler_table(manifest).to_pylist() == [{"table": "items", "column": "episodes", **row}]
