"""What the documents name exists: files, anchors, folders, functions, commands and their flags."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shown_commands import DOCUMENTS, listed, shown, shown_in
from tests.training import ROOT
from tests.unit.test_layers import LAYERS
from widedeep.__main__ import COMMANDS, split_at
from widedeep.common.command import load_config

sys.path.insert(0, str(ROOT / "scripts"))
from settings_page import SETTINGS

README, ARCHITECTURE = ROOT / "README.md", ROOT / "docs/architecture.md"
PRESETS = {"search": "train"}  # of commands that have those of another one
SOURCES = "\n".join(file.read_text() for file in (ROOT / "widedeep").rglob("*.py"))


def by_name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language; those without one have the language ""."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [content for name, content in found if name == language]


def named_paths(text: str) -> set[str]:
    """Paths below the folders of the checkout, such as widedeep/models/base.py; X stands for any folder."""
    found = re.findall(r"(?<![\w/.-])(?:widedeep|jobs|conf|scripts|examples|notebooks|docs|tests)/[\w./-]*", text)
    return {path.rstrip(".") for path in found if "/X/" not in path}


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def broken_links(text: str, directory: Path) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s:]+)\)", text):  # a colon: an address outside of the project
        path, _, anchor = link.partition("#")
        target = directory / path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text() if path else text)):
            broken.append(link)
    return broken


def folders_in_tree(text: str) -> list[str]:
    """The folders of widedeep/ that a document's tree names, in its order."""
    (tree,) = (block for block in blocks(text, "") if "\nwidedeep/" in block)
    inside = tree.split("\nwidedeep/")[1].split("\nscripts/")[0]
    return re.findall(r"^  (\w+)/ ", inside, re.MULTILINE)


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every command in a bash block or in an inline code span."""
    for block in blocks(text, "bash"):
        for line in block.replace("\\\n", " ").split("\n"):
            for command in line.split("&&"):
                yield shlex.split(command, comments=True)
    inline = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`\n]+)`", inline):
        if re.match(r"(\w+\.py|widedeep [a-z-]+|scripts/\w+\.(sh|py)) --", span):
            yield shlex.split(span)


def settings_of(words: list[str]) -> tuple[str, list[str]] | None:
    """The command of widedeep that a command line starts, and its settings; None if it starts another program."""
    if not words:
        return None
    if words[0] == "widedeep":
        return words[1], split_at(words[2:], "--")[1]
    if words[0] == "sbatch":  # what follows the script are settings of training
        (script,) = (place for place, word in enumerate(words) if word.endswith(".sbatch"))
        return "train", words[script + 1 :]
    for place, word in enumerate(words):
        path = Path(word)
        name = path.stem.replace("_", "-")
        if path.suffix == ".py" and name in SETTINGS and path.parts[0] != "scripts":
            return name, words[place + 1 :]
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_named_files_and_folders_exist(document):
    text = document.read_text()
    assert [path for path in sorted(named_paths(text)) if not (ROOT / path).exists()] == []
    assert broken_links(text, document.parent) == []


@pytest.mark.parametrize("document", [README, ARCHITECTURE], ids=by_name)
def test_the_tree_has_every_folder_in_the_order_of_imports(document):
    assert folders_in_tree(document.read_text()) == list(LAYERS)


def test_every_page_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", README.read_text()))
    assert linked == {file.name for file in (ROOT / "docs").glob("*.md")}


def test_functions_named_in_the_architecture_exist():
    text = ARCHITECTURE.read_text().split("## The tree")[0]
    rows = "\n".join(line for line in text.split("\n") if line.startswith("|"))
    spans = re.findall(r"`([A-Za-z_.]+)`", rows)
    names = [span.split(".")[-1] for span in spans if not span.endswith((".json", ".py", ".safetensors"))]
    assert len(names) > 20
    defined = r"^ *(?:(?:def|class) (\w+)|(\w+): |([A-Z_]+) = )"  # functions and classes, fields, constants
    known = {name for groups in re.findall(defined, SOURCES, re.MULTILINE) for name in groups}
    assert [name for name in names if name not in known] == []


@pytest.mark.parametrize("document", [file for file in DOCUMENTS if not file.stem.startswith("adding-a-")], ids=by_name)
def test_commands_have_real_flags(document):
    for words in command_lines(document.read_text()):
        if found := settings_of(words):
            command, settings = found
            if "--help" not in settings:
                load_config(SETTINGS[command], settings, PRESETS.get(command, command))
        for script in (word for word in words if re.fullmatch(r"scripts/.+\.(sh|py)", word)):
            text = (ROOT / script).read_text()
            flags = [word for word in words[words.index(script) :] if word.startswith("--")]
            assert [flag for flag in flags if flag.removeprefix("--") not in text] == [], script


def test_every_shown_command_is_listed_with_how_it_is_checked():
    runs, not_run = listed()
    names = [run.command for run in runs] + list(not_run)
    assert len(names) == len(set(names))
    assert set(names) == {command for document in DOCUMENTS for command in shown_in(document)}


def test_commands_in_blocks_are_found():
    in_bash, in_list = "```bash\n# only a comment\na  --b \\\n  c   # why\n```\n", "- so:\n\n  ```sh\n  e\n  ```\n"
    assert shown(f"{in_bash}\n```toml\nd\n```\n{in_list}") == ["a --b c", "e"]


def test_the_start_page_says_what_the_leaderboard_says():
    """Each figure of where the model loses stands in the row of its system on the leaderboard."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    board = (ROOT / "docs/leaderboard.md").read_text().splitlines()
    figures = [(ours, "wide & deep over histories") for _, ours, _ in rows if re.fullmatch(r"[\d.]+", ours)]
    figures += [part.split(", ") for _, _, other in rows for part in other.split("; ") if re.match(r"\d", part)]
    assert len(figures) == 9
    for figure, system in figures:
        of_system = [row for row in board if row.startswith(f"| {system} |")]
        assert any(re.search(rf"\| {figure}\b", row) for row in of_system), (figure, system)


def test_every_command_is_documented():
    assert set(COMMANDS) == set(SETTINGS)
    text = (ROOT / "docs/commands.md").read_text()
    assert [name for name in COMMANDS if f"| `widedeep {name}` |" not in text] == []


def test_the_readme_takes_three_minutes():
    assert len(README.read_text().split("\n")) <= 150


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](docs/no_such_page.md)", ["docs/no_such_page.md"]),
        ("[a](docs/scaling.md#no-such-heading)", ["docs/scaling.md#no-such-heading"]),
        ("# Here\n[a](#here) [b](#there)", ["#there"]),
    ],
)
def test_a_broken_link_is_found(text, broken):
    assert broken_links(text, ROOT) == broken


def test_commands_in_text_are_found():
    text = "Run `prepare.py --ranks 8`.\n\n```bash\nwidedeep train --nproc-per-node 2 -- --epochs 5  # two\n```\n"
    assert [settings_of(words) for words in command_lines(text) if words] == [
        ("train", ["--epochs", "5"]),
        ("prepare", ["--ranks", "8"]),
    ]
