"""Functions fit on a screen."""

import ast

from tests.training import ROOT

MOST_LINES = 40
SOURCES = [
    file
    for folder in ("widedeep", "jobs", "scripts")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if not file.is_symlink()
]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function from the first after its docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def long_functions() -> dict[str, int]:
    """Return the functions whose bodies are too long, as PATH:NAME -> lines."""
    too_long = {}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MOST_LINES:
                too_long[f"{file.relative_to(ROOT)}:{node.name}"] = body_lines(node)
    return too_long


def test_no_function_is_longer_than_a_screen():
    assert long_functions() == {}
