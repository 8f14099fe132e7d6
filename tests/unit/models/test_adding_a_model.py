"""docs/adding-a-model.md, followed to the letter in a copy of the package."""

import re
import shlex
from pathlib import Path

import pytest

from tests.builders import write_prepared
from tests.guides import add_lines, blocks, copy_checkout, run
from tests.training import ROOT, curve, metrics

GUIDE = (ROOT / "docs" / "adding-a-model.md").read_text()
SMALL = "--device cpu --epochs 1 --batch-size 64 --ranking-users 20"
# Run in the copy with the prepared directory and the run as arguments.
SCORE = """
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from widedeep.data.feature_tables import Tables
from widedeep.models.artifact import load_artifact
from widedeep.models.base import Histories
from widedeep.schema.manifest import read_manifest
from widedeep.scoring.user_lists import ListPlan, score_batches
from widedeep.scoring.scorer import Scorer

data, run = map(Path, sys.argv[1:])
artifact, tables = load_artifact(run / "model.safetensors"), Tables(data, read_manifest(data))
model, users = artifact.model, tables.users.rows
scorer = Scorer(model, tables.items.rows)
histories = Histories(*tables.histories(model.config.history))
everybody = np.arange(users, dtype=np.int32)
seen = [row[row >= 0].numpy().astype(np.int64) for row in histories.items]
by_index = scorer.top(everybody, seen, 10)
assert np.abs(by_index.ratings - by_index.affinities).min() > 0.1
assert np.allclose(by_index.ratings, scorer.ratings_of(everybody, by_index.items))
by_history = scorer.top_of_histories(histories, seen, 10)
for indexed, given in zip(by_index, by_history, strict=True):
    assert np.array_equal(indexed, given)

columns = {name: tables.users.values(name) for name in ("user", "user_id", "train_ratings")}
columns["seen"] = pa.array([row.astype(np.int32) for row in seen], pa.list_(pa.int32()))
batch = pa.record_batch(columns)
for cold_users in ("popular", "model"):
    plan = ListPlan(pa.array(tables.items.strings("title")), 10, cold_users)
    lists = pa.Table.from_batches(score_batches(artifact, scorer, iter([batch]), plan))
    assert lists.num_rows == 10 * users
    warm = columns["train_ratings"] > 0
    item = artifact.item_id.searchsorted(lists["anime_id"].to_numpy()).reshape(users, 10)
    rating = lists["predicted_rating"].to_numpy().reshape(users, 10)
    assert np.array_equal(item[warm], by_index.items[warm])
    assert np.allclose(rating[warm], by_index.ratings[warm].clip(1, 10), atol=1e-5)
    if cold_users == "model":
        assert np.array_equal(item[~warm], by_index.items[~warm])
"""

# Run in the copy with the run and the file that `widedeep recommend` wrote as arguments.
RECOMMENDED = """
import json
import sys
from pathlib import Path

import numpy as np
import torch

from widedeep.models.artifact import load_artifact
from widedeep.models.base import Histories
from widedeep.scoring.scorer import Scorer

run, file = map(Path, sys.argv[1:])
artifact, written = load_artifact(run / "model.safetensors"), json.loads(file.read_text())
histories = Histories(torch.tensor([[7, 12]], dtype=torch.int32), torch.tensor([[9.0, 3.0]]))
top = Scorer(artifact.model, len(artifact.item_id)).top_of_histories(histories, [np.array([7, 12])], 5)
rows = written["recommendations"]
assert [row["anime_id"] for row in rows] == artifact.item_id[top.items[0]].tolist()
assert [row["title"] for row in rows] == [f"The Title {item}" for item in top.items[0]]
assert np.allclose([row["affinity"] for row in rows], top.affinities[0])
assert np.allclose([row["predicted_rating"] for row in rows], top.ratings[0].clip(1, 10))
assert written["not_found"] == ["line 3: no title is 'qqqq' or nearly so"]
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the package and its contract tests, with the guide's model, loss and preset in it."""
    copy = copy_checkout(tmp_path_factory.mktemp("adding") / "checkout")
    (model, loss), (model_lines, loss_lines), (preset,) = (
        blocks(GUIDE, language) for language in ("python", "diff", "toml")
    )
    (copy / "widedeep/models/history_dot.py").write_text(model)
    add_lines(copy / "widedeep/models/__init__.py", model_lines, "from widedeep.models.ncf", "\n)\n")
    losses = copy / "widedeep/training/losses.py"
    losses.write_text(losses.read_text().replace("LOSSES: dict", f"{loss}\n\nLOSSES: dict"))
    add_lines(losses, loss_lines, "from widedeep.common.errors", "\n}\n")
    (copy / "conf/train/history_dot.toml").write_text(preset)
    return copy


def test_the_guides_model_passes_the_contract_tests(copy):
    said = run(copy, "-m", "pytest", "-q", "tests/contracts/test_models.py", "-k", "history_dot")
    assert re.search(r"\b19 passed", said), said


def test_the_guides_model_and_loss_are_in_help(copy):
    said = run(copy, "-c", "from widedeep.train import main; main(['--model.name', 'history_dot', '--help'])")
    assert "--model.history " in said
    assert "joint_bpr, liked" in " ".join(said.split())


@pytest.mark.parametrize("line", re.findall(r"^widedeep (train .*)$", GUIDE, re.MULTILINE))
def test_the_guides_commands_train_a_model_that_scores(copy, tmp_path, line):
    data = tmp_path / "prepared"
    write_prepared(data, features=True)
    words = shlex.split(f"{line} {SMALL} --data {data}")
    run(copy, "-m", "widedeep", *words)
    trained = copy / words[words.index("--run-dir") + 1]
    found = metrics(trained)
    assert found["valid"]["ndcg_at_10"] == curve(trained)[0]["valid"]["ndcg_at_10"] > 0
    assert found["ranking"]["model"]["users"] == 20
    run(copy, "-c", SCORE, str(data), str(trained))
    (tmp_path / "mine.csv").write_text("title,rating\nThe Title 7,9\nqqqq,8\nthe title 12,3\n")
    places = {"data": data, "run-dir": trained, "ratings": tmp_path / "mine.csv", "json": tmp_path / "list.json"}
    flags = [text for name, value in places.items() for text in (f"--{name}", str(value))]
    said = run(copy, "-m", "widedeep", "recommend", "--top-n", "5", *flags)
    run(copy, "-c", RECOMMENDED, str(trained), str(tmp_path / "list.json"))
    row = re.compile(r"^│ +\d+ │ +50\d\d │ The Title (\d+)", re.MULTILINE)
    best = row.findall(said)
    assert len(best) == 5
    # All titles are the same but for their number, so they are of one franchise.
    said = run(copy, "-m", "widedeep", "recommend", "--rerank.franchise-most", "2", *flags)
    assert row.findall(said) == best[:2]


def test_the_guide_names_what_exists():
    for path in re.findall(r"`((?:conf|tests|widedeep)/[\w/.]+)`", GUIDE):
        assert (ROOT / path).exists(), path
