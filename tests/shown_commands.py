"""How each command that a block of the documents shows is checked; tests/shown_commands.toml lists all of them."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

from tests.training import ROOT

LIST = ROOT / "tests/shown_commands.toml"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


class Run(NamedTuple):
    """A command that a test runs, on a small generated dump."""

    command: str
    instead: dict[str, str]  # parts of the command, and what stands in their place in the test
    also: str  # flags that the test adds

    @property
    def line(self) -> str:
        """The command as the test runs it."""
        line = self.command
        for part, other in self.instead.items():
            assert part in line
            line = line.replace(part, other)
        return f"{line} {self.also}".rstrip()


def shown(text: str) -> list[str]:
    """The commands in the bash and sh blocks of a page, each on one line without comments and double spaces."""
    found = []
    for block in re.findall(r"^ *```(?:bash|sh)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        words = [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]
        found += [shlex.join(line) for line in words if line]
    return found


def shown_in(page: Path) -> list[str]:
    return shown(page.read_text(encoding="utf-8"))


def listed() -> tuple[list[Run], dict[str, str]]:
    """The commands that are run, in their order, and the others with the reason why they are not."""
    content = tomllib.loads(LIST.read_text(encoding="utf-8"))
    runs = [Run(entry["command"], entry.get("instead", {}), entry.get("also", "")) for entry in content["run"]]
    return runs, {command: group["why"] for group in content["not_run"] for command in group["commands"]}
