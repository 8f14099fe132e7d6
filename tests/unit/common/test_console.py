"""What other people wrote, such as titles, is shown as it is and obeyed never."""

import pytest

from widedeep.common.command import run_command
from widedeep.common.console import print_table, say
from widedeep.common.errors import InputError

HOSTILE = (
    "[email protected]",
    "[/0]",
    "[link=https://example.org]x[/link]",
    "\x1b]0;owned\x07",
    "\x1b[2J",
    "\x9b2J",
    "a\rb",
)


@pytest.mark.parametrize("title", HOSTILE)
def test_titles_are_text(title, capsys):
    shown = "".join("\ufffd" if not character.isprintable() else character for character in title)
    print_table(f"like {title}", ("rank", title), [(1, title)], text=("rank", title))
    table = capsys.readouterr().out
    assert table.count(shown) == 3
    say(title)
    assert capsys.readouterr().out == f"{shown}\n"
    assert not any(character in table for character in "\x1b\x07\x9b\r")


@pytest.mark.parametrize("title", HOSTILE)
def test_errors_are_text(title, capsys, monkeypatch):
    def fail(argv):
        raise InputError(f"row 7: {title}")

    with pytest.raises(SystemExit):
        run_command(fail)
    said = capsys.readouterr().err
    assert said.startswith("error: row 7: ")
    assert not any(character in said for character in "\x1b\x07\x9b\r")


def test_lines_of_text_stay_lines(capsys):
    say("one\ttwo\nthree")
    assert capsys.readouterr().out.splitlines()[1] == "three"
