"""Look up the installed packages in the database of known vulnerabilities: scripts/audit.py.

Exits with 1 for a finding that scripts/audit-accepted.toml does not accept with a reason and a date. If the database
cannot be reached, the script says that it looked up nothing, and exits with 0.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ACCEPTED = Path(__file__).with_name("audit-accepted.toml")
UNREACHABLE = "audit: SKIPPED, the database of vulnerabilities cannot be reached"
COMMAND = ("pip_audit", "--local", "--skip-editable", "--progress-spinner", "off", "--format", "json")


def judge(report: dict[str, Any], accepted: dict[str, dict[str, Any]]) -> tuple[bool, list[str]]:
    """Return whether every finding is accepted, and the lines to print.

    Args:
        report: of pip-audit, as JSON.
        accepted: accepted findings by their id or an alias, each with `package`, `date` and `reason`.

    """
    looked_up = [package for package in report["dependencies"] if "vulns" in package]
    if not looked_up:
        return True, [UNREACHABLE]
    lines, all_accepted, seen = [], True, set()
    for package in looked_up:
        for finding in package["vulns"]:
            names = {finding["id"], *finding["aliases"]}
            seen |= names
            what = f"{package['name']} {package['version']}: {finding['id']}"
            if known := next((accepted[name] for name in sorted(names) if name in accepted), None):
                lines.append(f"audit: {what}, accepted on {known['date']}: {known['reason']}")
            else:
                all_accepted = False
                lines.append(f"audit: {what}, fixed in {', '.join(finding['fix_versions']) or 'no release'}")
    lines += [f"audit: {name} is accepted but no longer found: remove it" for name in sorted(set(accepted) - seen)]
    skipped = len(report["dependencies"]) - len(looked_up)
    lines.append(f"audit: {len(looked_up)} packages looked up, {skipped} not in the database")
    return all_accepted, lines


def main() -> int:
    """Run pip-audit on this environment and judge its report."""
    done = subprocess.run([sys.executable, "-m", *COMMAND], capture_output=True, text=True)
    if not done.stdout and "requests.exceptions." in done.stderr:
        print(f"{UNREACHABLE}: {done.stderr.strip().splitlines()[-1]}")
        return 0
    if not done.stdout:
        print(f"audit: pip-audit failed:\n{done.stderr}")
        return 1
    report = json.loads(done.stdout)
    all_accepted, lines = judge(report, tomllib.loads(ACCEPTED.read_text()))
    print("\n".join(lines))
    return 0 if all_accepted else 1


if __name__ == "__main__":
    sys.exit(main())
