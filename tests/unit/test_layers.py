"""Who may import what: the layers of widedeep/, and the one importer of each engine."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training import ROOT

# Each imports only from those before it; what stands at the top of widedeep/ is a command and may import from all.
LAYERS = (
    "common",
    "schema",
    "config",
    "parallel",
    "data",
    "models",
    "scoring",
    "evaluation",
    "training",
    "baselines",
    "synthesis",
    "reporting",
    "serve",
    "spark",
)
# Package -> the places of widedeep/ that may import it.
ENGINES = {
    "pyspark": ("spark/",),
    "py4j": ("spark/",),
    "petastorm": ("data/petastorm_compat.py",),
    "plotly": ("reporting/",),
    "jinja2": ("reporting/",),
    "tensorboard": ("training/tracking.py",),
    "mlflow": ("training/mlflow_board.py",),
    "optuna": ("training/search/",),
    "fastapi": ("serve/",),
    "uvicorn": ("serve/",),
}
SOURCES = [file for file in sorted((ROOT / "widedeep").rglob("*.py")) if not file.is_symlink()]


def imports(source: str) -> Iterator[str]:
    """Full names of the modules that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def broken_rules(place: str, source: str) -> list[str]:
    """The rules that a source at `place`, relative to widedeep/, breaks."""
    found = []
    layer = place.split("/")[0] if "/" in place else None
    for name in imports(source):
        package, _, rest = name.partition(".")
        if package in ENGINES and not place.startswith(ENGINES[package]):
            found.append(f"{place} imports {package}, which only {', '.join(ENGINES[package])} may")
        if package == "widedeep" and layer:
            other = rest.split(".")[0]
            if other not in LAYERS:
                found.append(f"{place} imports the command {name}")
            elif LAYERS.index(other) > LAYERS.index(layer):
                found.append(f"{place} imports {name}, which is above it")
        if package in ("jobs", "tests", "scripts"):
            found.append(f"{place} imports {name}, which is no part of the package")
    return found


def test_every_folder_is_a_layer():
    folders = {file.relative_to(ROOT / "widedeep").parts[0] for file in SOURCES if file.parent != ROOT / "widedeep"}
    assert folders == set(LAYERS)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_breaks_a_rule(file):
    assert broken_rules(str(file.relative_to(ROOT / "widedeep")), file.read_text()) == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("models/base.py", "from widedeep.training import step"),
        ("models/base.py", "def f():\n    import pyspark.sql"),
        ("data/loaders.py", "from petastorm import make_batch_reader"),
        ("spark/session.py", "from widedeep.train import main"),
        ("spark/session.py", "import plotly.graph_objects as go"),
        ("schema/manifest.py", "from jobs.prepare import main"),
    ],
)
def test_a_broken_rule_is_found(place, source):
    assert len(broken_rules(place, source)) == 1


@pytest.mark.parametrize("file", sorted((ROOT / "jobs").glob("*.py")), ids=lambda file: file.stem)
def test_a_job_only_starts_what_the_package_holds(file: Path):
    statements = [node for node in ast.parse(file.read_text()).body if not isinstance(node, ast.Expr)]
    assert [type(node) for node in statements] == [ast.ImportFrom, ast.ImportFrom, ast.If]


def checks_by_assert(source: str) -> list[str]:
    """The assertions of a source that do more than tell the type checker that something is None or is not."""
    found = [node.test for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
    nones = (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], ast.Is | ast.IsNot)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value is None
        for test in found
    )
    return [ast.unparse(test) for test, none in zip(found, nones, strict=True) if not none]


def test_no_check_is_an_assertion():
    """`python -O` leaves assertions out."""
    files = [*SOURCES, *(ROOT / "jobs").glob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    assert {str(file): found for file in files if (found := checks_by_assert(file.read_text()))} == {}
    assert checks_by_assert("assert rows == 3\nassert x is not None") == ["rows == 3"]
