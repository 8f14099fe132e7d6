"""Functions fit on a screen."""

import ast

import pytest

from tests.training import ROOT

MOST_LINES = 40
SOURCES = [
    file
    for folder in ("widedeep", "jobs", "scripts")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if not file.is_symlink()
]
# Functions that are longer today, and their lines; the list may only shrink.
LONGER: dict[str, int] = {"widedeep/spark/preparation/prepare.py:_run": 63}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function from the first after its docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def long_functions() -> dict[str, int]:
    """Return the functions whose bodies are too long, as PATH:NAME -> lines."""
    found = {}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MOST_LINES:
                found[f"{file.relative_to(ROOT)}:{node.name}"] = body_lines(node)
    return found


def test_no_function_is_longer_than_a_screen():
    assert {name: lines for name, lines in long_functions().items() if lines > LONGER.get(name, MOST_LINES)} == {}


@pytest.mark.parametrize("name", LONGER)
def test_an_exception_is_still_needed(name):
    assert name in long_functions()
