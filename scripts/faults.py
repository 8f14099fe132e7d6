"""Try every fault that docs/reliability.md names, several times, and print how often each promise held.

python scripts/faults.py --repeats 3

What is drawn at random, such as the moment of a kill, is drawn anew at each repeat; --seed draws the same again.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from widedeep.common.console import log, print_table, say, setup_logging

ROOT = Path(__file__).resolve().parent.parent
PROMISES = ROOT / "docs" / "reliability.md"


class Promise(NamedTuple):
    """A row of the tables."""

    text: str
    tests: tuple[str, ...]  # as pytest takes them: a file, or FILE::FUNCTION


def read_promises(document: str) -> Iterator[Promise]:
    """Yield the promises of a document; ValueError if a test that it names does not exist."""
    files = {file: file.read_text() for file in sorted((ROOT / "tests").rglob("test_*.py"))}
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        names = re.findall(r"`((?:tests/[\w/]+/)?test_\w+(?:\.py)?)`", cells[-1]) if line.startswith("|") else []
        if names:
            yield Promise(cells[0], tuple(test for name in names for test in _find(name, files)))


def _find(name: str, files: dict[Path, str]) -> list[str]:
    """Return a test's file, or its file and function."""
    if name.endswith(".py"):
        found = [str(file.relative_to(ROOT)) for file in files if f"/{file.relative_to(ROOT)}".endswith(f"/{name}")]
    else:
        defined = re.compile(rf"^def {name}\(", re.MULTILINE)
        found = [f"{file.relative_to(ROOT)}::{name}" for file, text in files.items() if defined.search(text)]
    if not found:
        raise ValueError(f"{PROMISES.name} names {name}, which is no test")
    return found


def run_once(tests: list[str], seed: int) -> Counter[tuple[str, str]]:
    """Run tests with a seed; return how many cases of each had which outcome."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
        subprocess.run(argv, cwd=ROOT, env={**os.environ, "WIDEDEEP_FAULT_SEED": str(seed)}, stdout=sys.stderr)
        cases = list(ElementTree.parse(report).iter("testcase"))
    outcomes: Counter[tuple[str, str]] = Counter()
    for case in cases:
        file = case.get("classname", "").replace(".", "/") + ".py"
        name = f"{file}::{case.get('name', '').partition('[')[0]}"
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        outcomes[name, outcome] += 1
    return outcomes


def main() -> None:
    """Run the command; exit with 1 if a promise was broken."""
    setup_logging()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="how often each fault is tried (default: 3)")
    parser.add_argument("--seed", type=int, help="of the first repeat; each other one has the next (default: drawn)")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats} is not above 0")
    first = time.time_ns() % 1_000_000 if options.seed is None else options.seed
    promises = list(read_promises(PROMISES.read_text()))
    tests = sorted({test for promise in promises for test in promise.tests})
    tests = [test for test in tests if test.split("::")[0] not in tests or "::" not in test]  # a file has them all
    outcomes: Counter[tuple[str, str]] = Counter()
    for seed in range(first, first + options.repeats):
        log.info("repeat with seed %d", seed)
        outcomes += run_once(tests, seed)
    rows = []
    for promise in promises:
        held = Counter()
        for (name, outcome), count in outcomes.items():
            if name in promise.tests or name.split("::")[0] in promise.tests:
                held[outcome] += count
        rows.append((promise.text, *(held[outcome] for outcome in ("passed", "failed", "skipped"))))
    print_table(f"seeds {first} to {first + options.repeats - 1}", ("promise", "held", "broken", "not tried"), rows)
    total = Counter()
    for (_, outcome), count in outcomes.items():
        total[outcome] += count
    cases = sum(total.values()) // options.repeats
    say(f"{cases} faults, {options.repeats} times: {total['passed']} held, {total['failed']} broken")
    sys.exit(1 if total["failed"] else 0)


if __name__ == "__main__":
    main()
