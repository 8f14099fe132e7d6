#!/usr/bin/env bash
# Writes requirements.lock and requirements-torch.lock: the versions that scripts/setup.sh installs.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/lock.sh [--upgrade]

Resolves the dependencies of pyproject.toml for Python 3.11 to 3.14, Linux and macOS, and writes them with the hashes of
their files to requirements.lock. What is there already and still fits is kept, unless --upgrade is given.

PyTorch stands in requirements-torch.lock, by its version alone: its builds (CPU, CUDA, ROCm) have files and
dependencies of their own, and which is wanted depends on the machine. Needs uv, and installs it for the time being if
it is not there.
END
}

upgrade=""
case ${1:-} in
  "") ;;
  --upgrade) upgrade=--upgrade ;;
  -h | --help) usage; exit 0 ;;
  *) echo "lock: unknown argument: $1" >&2; usage >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! command -v uv >/dev/null; then
  python3 -m venv "$work/uv"
  "$work/uv/bin/python" -m pip install --quiet uv
  PATH=$work/uv/bin:$PATH
fi

# compile ARGUMENT...: writes $work/lock, one version for all Pythons where there is one.
compile() {
  [ -n "$upgrade" ] || [ ! -e requirements.lock ] || cp requirements.lock "$work/lock"
  uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
    --no-header --no-annotate $upgrade --constraint "$work/torch" --output-file "$work/lock" "$@" pyproject.toml
}

if [ -n "$upgrade" ]; then touch "$work/torch"; else cp requirements-torch.lock "$work/torch"; fi
compile
torch=$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' "$work/lock")

# Only the CUDA build of torch brings these.
skip=$(sed -nE 's/^(torch|triton|nvidia-[^=]*|cuda-[^=]*)==.*/--no-emit-package \1/p' "$work/lock")
# shellcheck disable=SC2086 # words
compile $skip
{
  echo "# Made by scripts/lock.sh. What this package needs but torch, for Python 3.11 to 3.14; setup.sh installs it."
  cat "$work/lock"
} >requirements.lock
{
  echo "# Made by scripts/lock.sh. The build (CPU, CUDA, ROCm), and with it the file, is the choice of pip's settings."
  echo "$torch"
} >requirements-torch.lock
echo "lock: $(grep -c '==' requirements.lock) packages in requirements.lock, $torch in requirements-torch.lock" >&2
