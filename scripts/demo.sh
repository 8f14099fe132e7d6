#!/usr/bin/env bash
# The whole way on one machine: a dump, prepared data, a trained model, a list for every user.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/demo.sh [--ratings N] [--input DIR] [--work DIR] [--fresh]

Makes the environment if need be, writes a dump with a known answer planted in it, prepares it,
trains, scores every user, and shows how good that is. Run again, it keeps what is done already.

  --ratings N    ratings in the dump (200000, or the environment's DEMO_RATINGS)
  --input DIR    take this dump instead of writing one
  --work DIR     where all data goes (data/demo, with --input data/demo-input);
                 the run goes to runs/, under the last part of that name
  --fresh        do everything anew
END
}

say() { echo "demo: $*" >&2; }

fail_usage() {
  say "$*"
  usage >&2
  exit 2
}

absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac }

ratings=${DEMO_RATINGS:-200000}
input="" work="" fresh=""
while [ $# -gt 0 ]; do
  case $1 in
    --fresh) fresh=yes; shift; continue ;;
    -h | --help) usage; exit 0 ;;
    --ratings | --input | --work) [ -n "${2:-}" ] || fail_usage "$1 needs a value" ;;
    *) fail_usage "unknown argument: $1" ;;
  esac
  case $1 in
    --ratings) ratings=$2 ;;
    --input) input=$(absolute "$2") ;;
    --work) work=$(absolute "$2") ;;
  esac
  shift 2
done
[ -z "$input" ] || [ -d "$input" ] || fail_usage "--input $input is no directory"

# shellcheck source=scripts/enter.sh
source "$(dirname "${BASH_SOURCE[0]}")/enter.sh"
work=${work:-data/demo${input:+-input}}
work=${work%/}
run=runs/${work##*/}
mkdir -p "$work"

# --- steps ---------------------------------------------------------------------------------------

# Names what is there: of a dump its files, sizes and times, of a file that commits an output its content.
identity() { if [ -d "$1" ]; then ls -lnLR "$1"; else cat "$1"; fi 2>/dev/null | cksum; }

code=$(find jobs widedeep -name '*.py' -print0 | sort -z | xargs -0 cat | cksum)

# step NAME INPUT OUTPUT COMMITTED COMMAND...: runs COMMAND, which makes the directory OUTPUT from
# INPUT and writes the file COMMITTED last; keeps OUTPUT if the same code did the same with the same before.
step() {
  local name=$1 output=$3 committed=$4 record=$work/.$1.step key began=$SECONDS failure=0
  key=$({ identity "$2"; printf '%s\n' "$code" "${@:5}"; } | cksum)
  shift 4
  say "$name:$(printf ' %q' "$@")"
  [ -z "$fresh" ] || rm -rf "$record" "$output"
  if [ -e "$committed" ] && [ "$(cat "$record" 2>/dev/null)" = "$key $(identity "$committed")" ]; then
    say "$name: done before, kept"
    return
  fi
  # What was begun with other code, settings or inputs is not to be resumed.
  case $(cat "$record" 2>/dev/null) in "" | "$key"*) ;; *) rm -rf "$output" ;; esac
  echo "$key" >"$record"
  "$@" || failure=$?
  if [ $failure != 0 ]; then
    say "$name: failed with exit code $failure"
    exit $failure
  fi
  echo "$key $(identity "$committed")" >"$record"
  say "$name: done in $((SECONDS - began)) s"
}

steps=300
if [ -z "$input" ] && [ "$(printf %.0f "$ratings" 2>/dev/null)" -le 200000 ]; then
  steps=80
  shorten_spark_jobs
fi
if [ -z "$input" ]; then
  input=$work/raw
  step synthesize /dev/null "$input" "$input/planted.json" \
    spark-submit jobs/synthesize.py --ratings "$ratings" --seed 2023 --output "$input" --overwrite
fi
step prepare "$input" "$work/prepared" "$work/prepared/manifest.json" \
  spark-submit jobs/prepare.py --input "$input" --output "$work/prepared" --overwrite
step train "$work/prepared/manifest.json" "$run" "$run/metrics.json" \
  torchrun widedeep/train.py --max-steps $steps --data "$work/prepared" --run-dir "$run"
step score_all "$run/metrics.json" "$work/recommendations" "$work/recommendations/_manifest.json" \
  spark-submit jobs/score_all.py --data "$work/prepared" --run-dir "$run" --output "$work/recommendations" --top-n 10 --overwrite

say "all done in $SECONDS s"
python scripts/demo_summary.py --raw "$input" --data "$work/prepared" --run-dir "$run" --recommendations "$work/recommendations"
