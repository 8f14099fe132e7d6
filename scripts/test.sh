#!/usr/bin/env bash
# Lints, type-checks and tests the checkout; arguments go to pytest.
set -euo pipefail

case ${1:-} in
  -h | --help)
    echo "Usage: scripts/test.sh [PYTEST ARGUMENT...]"
    echo "Makes the environment if need be, then runs ruff, pyright, pip check, an audit of known"
    echo "vulnerabilities, the build of the documents' site and pytest; fails if one of them does."
    echo "  WIDEDEEP_TEST_WORKERS   how many processes run tests (default: 2; 0: this one, as a debugger needs it)"
    exit 0
    ;;
esac

# shellcheck source=scripts/enter.sh
source "$(dirname "${BASH_SOURCE[0]}")/enter.sh" --dev

failed=""
check() {
  echo "== $*" >&2
  "$@" >&2 || failed="$failed${failed:+, }$*"
}

check ruff check .
check ruff format --check .
check pyright
check python -m pip check
check python scripts/audit.py
site=$(mktemp -d)
check env NO_MKDOCS_2_WARNING=1 mkdocs build --strict --site-dir "$site"
rm -rf "$site"
[ -z "$failed" ] || echo "FAILED, whatever the tests say: $failed" >&2

shorten_spark_jobs # there are hundreds, of seconds each

# Last, so that its closing line is the last one of all.
echo "== pytest $*" >&2
# A file's tests stay together, because they share what is slow to make. Each worker may start a Spark of its own.
# Failures are printed as they happen, for one who does not wait to the end.
pytest --numprocesses "${WIDEDEEP_TEST_WORKERS:-2}" --dist loadfile --instafail "$@" || exit
[ -z "$failed" ]
