#!/usr/bin/env bash
# A Spark standalone cluster on the loopback address: real daemons and executors, without other machines.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/cluster.sh start [--workers N] [--cores N] [--memory SIZE] [--port N] [--ui-port N]
       scripts/cluster.sh status|stop

start prints the master's URL when all workers are there:

  url=$(scripts/cluster.sh start)
  spark-submit --master "$url" jobs/prepare.py ...

  --workers N      worker processes (2)
  --cores N        cores that each of them offers (1)
  --memory SIZE    memory that each of them offers (2g)
  --port N         of the master (7077)
  --ui-port N      of the master's web page (8080)

Logs, process ids and the workers' directories are in .cluster/. status exits 1 where no cluster runs.
END
}

say() { echo "cluster: $*" >&2; }

fail_usage() {
  say "$*"
  usage >&2
  exit 2
}

[ $# -gt 0 ] || fail_usage "start, stop or status?"
action=$1
shift
case $action in
  start | stop | status) ;;
  -h | --help) usage; exit 0 ;;
  *) fail_usage "unknown action: $action" ;;
esac

workers=2 cores=1 memory=2g port=7077 ui_port=8080
while [ $# -gt 0 ]; do
  [ "$action" = start ] || fail_usage "$action takes no arguments"
  [ $# -gt 1 ] || fail_usage "$1 needs a value"
  case $1 in
    --workers) workers=$2 ;;
    --cores) cores=$2 ;;
    --memory) memory=$2 ;;
    --port) port=$2 ;;
    --ui-port) ui_port=$2 ;;
    *) fail_usage "unknown argument: $1" ;;
  esac
  shift 2
done
for number in "$workers" "$cores" "$port" "$ui_port"; do
  case $number in "" | 0* | *[!0-9]*) fail_usage "not a number above 0: $number" ;; esac
done
case $memory in [1-9]*[kmgKMG]) ;; *) fail_usage "--memory is written like 512m or 2g, not $memory" ;; esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=$root/.cluster
if [ "$action" != stop ]; then
  # shellcheck source=scripts/enter.sh
  source "$root/scripts/enter.sh"
fi

# --- processes -----------------------------------------------------------------------------------

command_of() {
  if [ -d /proc/self ]; then
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" || true # a bare Debian has no ps
  else
    ps -p "$1" -o command= || true
  fi
}

# Prints the ids of our daemons that live. The command is looked at too: ids are used again.
living() {
  local file pid
  for file in "$state"/*.pid; do
    [ -e "$file" ] || continue
    pid=$(cat "$file")
    case $(command_of "$pid") in *org.apache.spark.deploy.[mw]*) echo "$pid" ;; esac
  done
}

# Starts a daemon under a name, in a directory from which nothing of the checkout can be imported.
daemon() {
  local name=$1
  shift
  (
    cd /
    nohup spark-class "$@" >"$state/$name.log" 2>&1 </dev/null &
    echo $! >"$state/$name.pid"
  )
}

stop_all() {
  local pid waited=0
  for pid in $(living); do kill "$pid" 2>/dev/null || true; done
  while [ -n "$(living)" ]; do
    if [ $waited = 100 ]; then
      for pid in $(living); do kill -9 "$pid" 2>/dev/null || true; done
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
  rm -f "$state"/*.pid
}

# Prints "ALIVE-WORKERS CORES" as the master tells it; nothing while it does not answer.
registered() {
  python - "$ui_port" <<'END' 2>/dev/null || true
import json, sys, urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: past any proxy
with opener.open(f"http://127.0.0.1:{sys.argv[1]}/json/", timeout=5) as answer:
    master = json.load(answer)
print(master["aliveworkers"], master["cores"])
END
}

# --- actions -------------------------------------------------------------------------------------

start() {
  local number waited=0 count
  if [ -n "$(living)" ]; then
    say "runs already; stop it first to change it"
    cat "$state/url"
    return
  fi
  rm -rf "$state"
  mkdir -p "$state"
  echo "spark://127.0.0.1:$port" >"$state/url"
  echo "$ui_port" >"$state/ui-port"
  # Without retries a taken port is an error, not silently another port.
  export SPARK_DAEMON_JAVA_OPTS="-Dspark.port.maxRetries=0" SPARK_DAEMON_MEMORY=512m
  export SPARK_LOCAL_DIRS="$state/scratch"
  daemon master org.apache.spark.deploy.master.Master --host 127.0.0.1 --port "$port" --webui-port "$ui_port"
  for number in $(seq "$workers"); do
    daemon "worker-$number" org.apache.spark.deploy.worker.Worker --host 127.0.0.1 --webui-port 0 \
      --cores "$cores" --memory "$memory" --work-dir "$state/work-$number" "$(cat "$state/url")"
  done
  while
    sleep 0.2
    count=$(registered)
    [ "${count%% *}" != "$workers" ]
  do
    if [ $waited = 300 ] || [ "$(living | wc -l)" -le "$workers" ]; then
      grep -hE '^[A-Za-z.]+(Exception|Error)' "$state"/*.log >&2 || true
      stop_all
      say "did not start; its logs are in $state"
      exit 1
    fi
    waited=$((waited + 1))
  done
  say "$workers workers, $cores core(s) and $memory each; web page http://127.0.0.1:$ui_port"
  cat "$state/url"
}

stop() {
  if [ -n "$(living)" ]; then
    stop_all
    say "stopped"
  else
    say "does not run"
  fi
}

status() {
  local count=""
  if [ -n "$(living)" ]; then
    ui_port=$(cat "$state/ui-port")
    count=$(registered)
  fi
  if [ -z "$count" ]; then
    say "does not run"
    exit 1
  fi
  say "${count%% *} workers, ${count##* } core(s) in all; web page http://127.0.0.1:$ui_port"
  cat "$state/url"
}

$action
