#!/usr/bin/env bash
# Fetches MovieLens 100K, in the form in which the PyPI package recbole has it.
set -euo pipefail

package=recbole==1.2.1 folder=recbole/dataset_example/ml-100k

usage() {
  cat <<END
Usage: scripts/movielens.sh DIR

Fetches MovieLens 100K (100,000 ratings of 943 people and 1,682 films) from the Python package
$package and puts its files into DIR. Then:

  spark-submit jobs/prepare.py --dataset recbole --input DIR --output data/prepared

pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS, pip.conf, ...) say where the package comes
from. GroupLens allows research with the data; read its terms before you pass the files on.
END
}

fail() {
  echo "movielens: $*" >&2
  exit 1
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  "" | -*) usage >&2; exit 2 ;;
esac
[ $# -eq 1 ] || { usage >&2; exit 2; }

python=python3
! command -v python >/dev/null || python=python # that of an active environment, which has pip
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$scratch" "$package" ||
  fail "pip could not download $package; see its message above, and check the network and pip's index"
"$python" -m zipfile -e "$scratch"/recbole-*.whl "$scratch/wheel" || fail "the wheel of $package is damaged; try again"
[ -e "$scratch/wheel/$folder/ml-100k.inter" ] || fail "the wheel of $package has no $folder/ml-100k.inter"
mkdir -p "$1"
cp "$scratch/wheel/$folder"/ml-100k.{inter,item,user} "$1/"
echo "movielens: wrote ml-100k.inter, ml-100k.item and ml-100k.user to $1" >&2
