#!/usr/bin/env bash
# Asks `widedeep serve` 200 times a second, exchanges the lists in the middle, and says what the answers took.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/load.sh --data DIR --run-dir DIR --recommendations DIR [--seconds N] [--json FILE]

Serves the outputs on a free port, with a copy of the lists, and asks at constant rates: 160 lists of users, 30 searches
and 10 lists by five titles and ratings in a second. Half way, other files take the place of the copy. Prints, of each
kind, the number of answers and errors, the median, the 99th percentile and the longest time in ms; and the server's
memory at the begin and at the end, all its processes together. Needs Node.js with npm, which fetches loadtest for the
time being.

  --seconds N    how long (600)
  --json FILE    where to write the result, too
END
}

say() { echo "load: $*" >&2; }

data="" run="" lists="" seconds=600 json=""
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --data | --run-dir | --recommendations | --seconds | --json)
      [ -n "${2:-}" ] || { say "$1 needs a value"; exit 2; }
      ;;
    *) say "unknown argument: $1"; usage >&2; exit 2 ;;
  esac
  case $1 in
    --data) data=$(realpath "$2") ;;
    --run-dir) run=$(realpath "$2") ;;
    --recommendations) lists=$(realpath "$2") ;;
    --seconds) seconds=$2 ;;
    --json) json=$(realpath -m "$2") ;;
  esac
  shift 2
done
[ -n "$data" ] && [ -n "$run" ] && [ -n "$lists" ] || { say "--data, --run-dir and --recommendations must be given"; exit 2; }
command -v npm >/dev/null || { say "there is no npm: install Node.js"; exit 2; }

# shellcheck source=scripts/enter.sh
source "$(dirname "${BASH_SOURCE[0]}")/enter.sh" --serve
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
cp -r "$lists" "$work/lists"
cp scripts/load.mjs "$work"
npm install --silent --prefix "$work" loadtest@8 >&2
ids=$(python - "$lists" <<'END'
import random, sys
from pathlib import Path
import pyarrow.parquet as pq
files = sorted(Path(sys.argv[1]).glob("part-*.parquet"))
ids = sorted({one for file in files for one in pq.read_table(file, columns=["user_id"])["user_id"].to_pylist()})
print(*random.Random(0).sample(ids, min(2000, len(ids))))
END
)
titles=$(python - "$data" <<'END'
import json, sys
from pathlib import Path
import pyarrow.parquet as pq
items = pq.read_table(Path(sys.argv[1]) / "items", columns=["title", "train_ratings"])
print(json.dumps(items.sort_by([("train_ratings", "descending")])["title"].to_pylist()[:20]))
END
)

widedeep serve --data "$data" --run-dir "$run" --recommendations "$work/lists" --port 0 2>"$work/log" &
server=$!
until grep -q ready "$work/log"; do
  kill -0 $server 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.2
done
address=$(grep -o 'http://[0-9.:]*' "$work/log" | head -n 1)
memory() {
  # shellcheck disable=SC2046 # one word for each process
  cat $(printf '/proc/%d/status ' $server $(pgrep --parent $server)) | awk '/VmRSS/ { sum += $2 } END { printf "%d", sum / 1024 }'
}

# shellcheck disable=SC2086 # words
ask() { node "$work/load.mjs" "$address" "$1" "$titles" $ids; }
say "$address: warming up for 10 s"
ask 10 >/dev/null
before=$(memory)
say "asking for $seconds s"
{
  sleep $((seconds / 2))
  cp -r "$lists" "$work/newer"
  touch "$work/newer/_manifest.json"
  mv "$work/lists" "$work/former" && mv "$work/newer" "$work/lists" && rm -r "$work/former"
  say "other files have taken the place of the lists"
} &
result=$(ask "$seconds")
after=$(memory)
reloads=$(python -c "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())" "$address/metrics" |
  awk '/^widedeep_reloads_total/ { print $2 }')
python - "$result" "$before" "$after" "${reloads:-0}" "$json" <<'END'
import json, sys
from pathlib import Path
result = {"requests": json.loads(sys.argv[1]), "memory_mb": [int(sys.argv[2]), int(sys.argv[3])], "reloads": float(sys.argv[4])}
text = json.dumps(result, indent=1)
print(text)
if sys.argv[5]:
    Path(sys.argv[5]).write_text(text + "\n")
END
