"""What scripts/audit.py makes of a report of pip-audit."""

import sys
import tomllib

import pytest

from tests.training import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import audit

FINDING = {"id": "PYSEC-2026-2447", "aliases": ["CVE-2025-69872"], "fix_versions": []}
ACCEPTED = {"CVE-2025-69872": {"package": "diskcache", "date": "2026-11-24", "reason": "unused"}}


def report(*findings: dict) -> dict:
    dependencies = [
        {"name": "diskcache", "version": "5.6.3", "vulns": list(findings)},
        {"name": "torch", "version": "2.13.0+cpu", "skip_reason": "not found"},
    ]
    return {"dependencies": dependencies}


def test_nothing_found_is_well():
    assert audit.judge(report(), {}) == (True, ["audit: 1 packages looked up, 1 not in the database"])


def test_a_finding_is_refused_with_the_release_that_fixes_it():
    well, lines = audit.judge(report({**FINDING, "fix_versions": ["5.7"]}), {})
    assert not well
    assert lines[0] == "audit: diskcache 5.6.3: PYSEC-2026-2447, fixed in 5.7"


def test_a_finding_is_accepted_by_any_of_its_names():
    well, lines = audit.judge(report(FINDING), ACCEPTED)
    assert well
    assert lines[0].endswith("accepted on 2026-11-24: unused")


def test_what_is_accepted_but_gone_is_named():
    assert any("CVE-2025-69872 is accepted but no longer found" in line for line in audit.judge(report(), ACCEPTED)[1])


def test_without_a_database_it_says_so():
    nothing = {"dependencies": [{"name": "rich", "version": "15", "skip_reason": "not found"}]}
    assert audit.judge(nothing, ACCEPTED) == (
        True,
        ["audit: SKIPPED, the database of vulnerabilities cannot be reached"],
    )


@pytest.mark.parametrize("name", sorted(tomllib.loads(audit.ACCEPTED.read_text())))
def test_every_accepted_finding_has_a_package_a_date_and_a_reason(name):
    accepted = tomllib.loads(audit.ACCEPTED.read_text())[name]
    assert accepted["package"]
    assert accepted["date"].isoformat()
    assert len(accepted["reason"]) > 20
