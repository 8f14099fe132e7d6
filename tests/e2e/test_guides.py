"""The commands that the documents show, run in order on a small generated dump; the notebooks on what they wrote."""

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import nbclient
import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.commands import run_command
from tests.e2e.test_pipeline import ENVIRONMENT
from tests.shown_commands import Run, listed, shown_in
from tests.training import ROOT

TUTORIAL = ROOT / "docs/tutorial.md"
RUNS, _ = listed()
FIRST = [run for run in RUNS if run.command in shown_in(TUTORIAL)]
OTHERS = [run for run in RUNS if run not in FIRST]


class Followed(NamedTuple):
    """A directory in which the tutorial was followed, and what each of its commands printed."""

    home: Path
    said: dict[str, str]


def start(run: Run, home: Path) -> str:
    """Run a command in a shell, as a reader does, and return what it printed to stdout."""
    done = run_command(["bash", "-c", run.line], home, ENVIRONMENT)
    assert done.returncode == 0, f"{run.line} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def bring_what_a_reader_brings(home: Path) -> None:
    """Write mylist.csv, of three titles, and data/mine: ratings in a file of other names."""
    items = pq.read_table(home / "data/prepared/items", columns=["title", "train_ratings"]).to_pandas()
    titles = items.sort_values("train_ratings", ascending=False)["title"].head(3)
    pd.DataFrame({"title": titles, "rating": [9, 10, 8]}).to_csv(home / "mylist.csv", index=False)
    ratings = pd.read_csv(home / "data/raw/users-score-2023.csv")
    (home / "data/mine").mkdir()
    mine = ratings.rename(columns={"user_id": "reader", "anime_id": "book", "rating": "stars"})
    mine[["reader", "book", "stars"]].to_csv(home / "data/mine/votes.csv", index=False)


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> Followed:
    """The tutorial, followed from its first command that can be run to its last."""
    home, said = tmp_path_factory.mktemp("home"), {}
    for name in ("jobs", "widedeep", "conf"):
        (home / name).symlink_to(ROOT / name)
    for run in FIRST:
        if "mylist.csv" in run.command:
            bring_what_a_reader_brings(home)
        said[run.command] = start(run, home)
    return Followed(home, said)


def shown_outputs() -> Iterator[tuple[str, str]]:
    """Each command of the tutorial that is followed by what one sees, and that."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    for (language, block), (following, output) in pairwise(blocks):
        if (language, following) == ("bash", "text"):
            yield " ".join(block.strip().split("\n")[-1].split()), output


def words_of(line: str) -> set[str]:
    """What of a line does not depend on the data: a text, a row's label, the cells of a head, if they are words."""
    cells = [cell.strip() for cell in re.split("[│┃]", line)]
    kept = cells if "┃" in line else cells[:2]
    return {cell for cell in kept if re.search("[a-z]", cell) and not re.search(r"\d|…", cell)}


def test_one_sees_what_the_tutorial_shows(followed):
    outputs = dict(shown_outputs())
    assert len(outputs) == 5
    for command, output in outputs.items():
        labels = {word for line in output.splitlines() for word in words_of(line)}
        seen = {word for line in followed.said[command].splitlines() for word in words_of(line)}
        assert labels, command
        assert sorted(labels - seen) == [], command


def test_everybody_has_a_list(followed):
    lists = pq.read_table(followed.home / "data/recommendations").to_pandas()
    users = pd.read_csv(followed.home / "data/raw/users-details-2023.csv")["Mal ID"]
    assert set(lists["user_id"]) == set(users)
    assert len(lists) == 10 * len(users)


@pytest.mark.parametrize("run", OTHERS, ids=[run.command for run in OTHERS])
def test_a_shown_command_runs(followed, run):
    start(run, followed.home)


# --- notebooks -----------------------------------------------------------------------------------


def execute(name: str, monkeypatch, cells: int | None = None, **variables: str | Path) -> list[str]:
    """Execute the first cells of a notebook, all by default; return what each cell of code shows."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    notebook.cells = notebook.cells[:cells]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, str(value))
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(shown_by(output) for output in cell.outputs) for cell in code]


def shown_by(output: nbformat.NotebookNode) -> str:
    return output.get("text") or output.get("data", {}).get("text/plain", "")


@pytest.mark.parametrize("file", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda file: file.name)
def test_a_notebook_is_stored_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert all((cell.outputs, cell.execution_count) == ([], None) for cell in code)


def test_the_notebook_of_the_outputs_shows_what_the_files_hold(followed, monkeypatch):
    said = "\n".join(execute("outputs.ipynb", monkeypatch, WIDEDEEP_HOME=followed.home))
    lists = pq.read_table(followed.home / "data/recommendations").to_pandas()
    mine = lists[lists["user_id"] == 1].sort_values("rank")
    assert re.search(rf"\b{mine['anime_id'].iloc[0]}\b", said)
    users = pq.read_table(followed.home / "data/prepared/users", columns=["user_id", "train_ratings"]).to_pandas()
    known = lists[lists["user_id"].isin(users.loc[users["train_ratings"] > 0, "user_id"])]
    items = pq.read_metadata(next((followed.home / "data/prepared/items").glob("*.parquet"))).num_rows
    coverage = rf"{known['title'].nunique()} +{items} +{known['user_id'].nunique()}\b"
    assert re.search(coverage, said), said
    train = pd.concat(
        pq.read_table(file).to_pandas()
        for file in (followed.home / "data/prepared/ratings/split=train").glob("*.parquet")
    )
    assert re.search(rf"train +{len(train)} +{train['user'].nunique()} +{train['item'].nunique()}\b", said), said


def test_the_notebook_for_kaggle_gets_from_an_input_to_lists(followed, monkeypatch, tmp_path):
    """It finds the environment on the PATH, so it installs nothing."""
    dump = tmp_path / "input/datasets/owner/myanimelist-dataset"
    dump.parent.mkdir(parents=True)
    dump.symlink_to(followed.home / "data/raw")
    work = tmp_path / "working"
    said = execute(
        "kaggle.ipynb",
        monkeypatch,
        PATH=ENVIRONMENT["PATH"],
        WIDEDEEP_INPUTS=tmp_path / "input",
        WIDEDEEP_WORK=work,
        WIDEDEEP_TRAIN="--max-steps 4",
    )
    assert said[1].strip() == str(dump)
    users = pd.read_csv(dump / "users-details-2023.csv")["Mal ID"]
    assert f"{10 * len(users):,} rows for {len(users):,} users" in said[-1]
    first = pq.read_table(work / "data/recommendations", filters=[("user_id", "==", 1), ("rank", "==", 1)])
    assert first["title"][0].as_py() in said[-1]


@pytest.mark.parametrize("place", ["myanimelist-dataset", "datasets/owner/slug"])
def test_the_notebook_for_kaggle_finds_the_dump_wherever_it_is_mounted(place, monkeypatch, tmp_path):
    for other in ("another", place):
        (tmp_path / other).mkdir(parents=True)
    (tmp_path / place / "users-score-2023.csv").touch()
    said = execute("kaggle.ipynb", monkeypatch, cells=4, WIDEDEEP_INPUTS=tmp_path)
    assert said[1].strip() == str(tmp_path / place)


def test_the_notebook_for_kaggle_says_where_it_has_looked(monkeypatch, tmp_path):
    with pytest.raises(nbclient.exceptions.CellExecutionError, match=f"no users-score-2023.csv in {tmp_path}/nowhere"):
        execute("kaggle.ipynb", monkeypatch, cells=4, WIDEDEEP_DUMP=tmp_path / "nowhere")


def test_what_the_notebook_for_kaggle_installs_is_in_the_checkout():
    notebook = nbformat.read(ROOT / "notebooks/kaggle.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    (script,) = re.findall(r'run\("widedeep/(\S+)"\)', text)
    assert os.access(ROOT / script, os.X_OK)
