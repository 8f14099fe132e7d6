"""docs/datasets.md: every description in it is valid, and it names all keys, parsers and presets."""

import shutil
import subprocess
import tomllib
from typing import get_args

import pytest

from tests.guides import blocks
from tests.training import ROOT
from widedeep.common.command import presets
from widedeep.schema import dataset
from widedeep.schema.dataset import Dataset

GUIDE = (ROOT / "docs/datasets.md").read_text()
DESCRIPTIONS = blocks(GUIDE, "toml")
TABLES = "\n".join(line for line in GUIDE.split("\n") if line.startswith("|"))
PARSERS = [name for kind in ("Number", "Category", "Text") for name in get_args(getattr(dataset, f"{kind}Parser"))]


@pytest.mark.parametrize("toml", DESCRIPTIONS, ids=range(len(DESCRIPTIONS)))
def test_a_description_is_valid(toml):
    Dataset.model_validate({"name": "mine", **tomllib.loads(toml)})


def test_there_are_descriptions():
    assert len(DESCRIPTIONS) == 3


@pytest.mark.parametrize("section", [dataset.RatingsFile, dataset.EntityFile, dataset.Identifiers, dataset.ListSource])
def test_every_key_is_in_a_table(section):
    assert [name for name in section.model_fields if f"`{name}`" not in TABLES] in ([], ["column"])


def test_every_parser_and_preset_is_named():
    assert [name for name in PARSERS if f"`{name}`" not in GUIDE] == []
    assert [name for name in presets("data") if f"| `{name}` |" not in TABLES] == []


def test_the_columns_of_the_worked_example_are_those_of_its_files():
    described = Dataset.model_validate({"name": "club", **tomllib.loads(DESCRIPTIONS[0])})
    votes, books = (block.split("\n", 1)[0].split(";") for block in blocks(GUIDE, "csv"))
    assert described.items is not None
    assert set(described.ratings.columns) == set(votes)
    assert set(described.items.columns) == set(books)


@pytest.mark.skipif(shutil.which("awk") is None, reason="no awk")
def test_the_recipe_makes_rows_of_blocks(tmp_path):
    (tmp_path / "combined_data_1.txt").write_text(
        "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n885013,4,2005-10-19\n"
    )
    (tmp_path / "movie_titles.csv").write_text("1,2003,Dinosaur Planet\n72,1974,At Home, Among Strangers\n")
    (recipe,) = blocks(GUIDE, "sh")
    subprocess.run(["sh", "-ec", recipe], cwd=tmp_path, check=True)
    assert (tmp_path / "ratings.csv").read_text().split() == [
        "1,1488844,3,2005-09-06",
        "1,822109,5,2005-05-13",
        "2,885013,4,2005-10-19",
    ]
    assert (tmp_path / "titles.csv").read_text() == "1|2003|Dinosaur Planet\n72|1974|At Home, Among Strangers\n"
