#!/usr/bin/env bash
# Serve lists and the page that shows them, on what scripts/demo.sh has made or on outputs that are named.
set -euo pipefail

case ${1:-} in
  -h | --help)
    cat <<'END'
Usage: scripts/serve.sh [--port P] [SETTING...]

Makes the environment if need be, then runs `widedeep serve` with these settings. Without --data, --run-dir and
--recommendations it takes the outputs of scripts/demo.sh. `widedeep serve --help` lists all settings.
END
    exit 0
    ;;
esac

# shellcheck source=scripts/enter.sh
source "$(dirname "${BASH_SOURCE[0]}")/enter.sh" --serve
case " $* " in
  *" --data"* | *" --run"* | *" --recommendations"* | *" --config"*) outputs=() ;;
  *) outputs=(--data data/demo/prepared --run-dir runs/demo --recommendations data/demo/recommendations) ;;
esac
exec widedeep serve ${outputs[@]+"${outputs[@]}"} "$@"
