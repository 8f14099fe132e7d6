"""MovieLens 100K, fetched by the script: the same from two publishers."""

from pathlib import Path

import pytest

from tests.commands import run_command
from tests.light_spark import light_spark  # noqa: F401  a fixture of all tests here
from tests.training import ROOT
from widedeep.config.prepare import PrepareConfig
from widedeep.schema.manifest import Manifest
from widedeep.spark.preparation.prepare import prepare

GENRES = [  # GroupLens's order
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
]


@pytest.fixture(scope="module")
def recbole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("movielens") / "recbole"
    script = ["bash", str(ROOT / "scripts" / "movielens.sh"), str(folder)]
    done = run_command(script, ROOT)
    if "could not download" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    # The video "Land Before Time III (1995) (V)" has `V` for its year here, and 1995 in GroupLens's title.
    items = folder / "ml-100k.item"
    items.write_text(items.read_text().replace("Giving (1995)\tV\t", "Giving\t1995\t"))
    return folder


def rows(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text().splitlines()[1:]]


def as_grouplens(recbole: Path, folder: Path) -> Path:
    """Write the files of ml-100k.zip: without headers, genres as flags, the year in the title."""
    folder.mkdir()
    (folder / "u.data").write_bytes(b"".join((recbole / "ml-100k.inter").read_bytes().splitlines(keepends=True)[1:]))
    people = ([user, age, gender, job, code] for user, age, gender, job, code in rows(recbole / "ml-100k.user"))
    (folder / "u.user").write_text("".join("|".join(person) + "\n" for person in people))
    films = ""
    for item, title, year, genres in rows(recbole / "ml-100k.item"):
        flags = "|".join(str(int(genre in genres.split())) for genre in GENRES)
        dated = f"{title} ({year})" if year.isdigit() else title  # of one film nothing is known
        films += f"{item}|{dated}|01-Jan-{year}||http://example.org/{item}|{flags}\n"
    (folder / "u.item").write_text(films, encoding="iso-8859-1")
    return folder


def test_two_publishers_of_the_same_data_give_the_same_data(spark, recbole, tmp_path):
    # A random split hashes identifiers, which GroupLens's description has as numbers: here they are texts in both.
    described = tmp_path / "grouplens.toml"
    described.write_text(
        (ROOT / "conf/data/movielens-100k.toml").read_text().replace('type = "number"', 'type = "text"')
    )

    def prepared(dataset: str, files: Path) -> Manifest:
        settings = {
            "dataset": dataset,
            "input": str(files),
            "output": str(tmp_path / "prepared" / files.name),
            "shards": 1,
        }
        return prepare(spark, PrepareConfig.model_validate(settings))

    one = prepared("recbole", recbole)
    two = prepared(str(described), as_grouplens(recbole, tmp_path / "ml-100k"))
    assert one.ratings.read == 100_000
    assert (one.users.rows, one.items.rows) == (943, 1682)
    for split, shards in one.ratings.shards.items():
        assert [file.content for file in shards] == [file.content for file in two.ratings.shards[split]]
    assert one.users.vocabularies == two.users.vocabularies
    assert one.items.vocabularies == two.items.vocabularies
    assert one.digest == two.digest  # of all data
