#!/usr/bin/env bash
# Evaluate every system and baseline on one dump in the same way, over several seeds; write the tables and the picture.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/leaderboard.sh --input DIR [--work DIR] [--docs DIR] [--seeds "0 1 2"] [--only "NAME ..."]
                              [--baselines FILE] [--dataset NAME] [--systems FILE] [--split KIND]
                              [--name NAME] [--parallel N]

Prepares the dump once for each seed (which draws the split, the weights and the order of samples), fits the
baselines, trains each preset of conf/train, scores, evaluates, compares with the best baseline, and writes
NAME.md, NAME.json and NAME.svg. Run again, it keeps what is done already, system by system.

  --input DIR    the dump
  --work DIR     where all data goes (data/leaderboard)
  --docs DIR     where the tables go (docs)
  --seeds LIST   seeds ("0 1 2")
  --only LIST    train these presets only, such as "wide_deep ncf"; the tables show all that is there
  --baselines FILE  settings of jobs/baselines.py: what is tried, and which baselines (default: all)
  --dataset NAME    what the files are, a name in conf/data or a file (mal2023). Published results are of mal2023, so
                    only its leaderboard has them
  --systems FILE    which presets are trained, with which flags, and their labels (scripts/leaderboard.toml)
  --split KIND      split.kind of jobs/prepare.py (random)
  --name NAME       of the tables (leaderboard)
  --parallel N      steps at once (1), each with its share of the cores, as most steps do not keep several cores busy.
                    Each needs as much memory as alone. Needs bash 5.1 and taskset, so Linux
END
}

say() { echo "leaderboard: $*" >&2; }

fail_usage() {
  say "$*"
  usage >&2
  exit 2
}

absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac }

input="" work="" docs="" seeds="0 1 2" only="" baselines="" dataset=mal2023 systems="" split=random table=leaderboard parallel=1
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --input | --work | --docs | --seeds | --only | --baselines | --dataset | --systems | --split | --name | --parallel)
      [ -n "${2:-}" ] || fail_usage "$1 needs a value"
      ;;
    *) fail_usage "unknown argument: $1" ;;
  esac
  case $1 in
    --input) input=$(absolute "$2") ;;
    --work) work=$(absolute "$2") ;;
    --docs) docs=$(absolute "$2") ;;
    --seeds) seeds=$2 ;;
    --only) only=$2 ;;
    --baselines) baselines=$(absolute "$2") ;;
    --dataset) case $2 in *.toml) dataset=$(absolute "$2") ;; *) dataset=$2 ;; esac ;;
    --systems) systems=$(absolute "$2") ;;
    --split) split=$2 ;;
    --name) table=$2 ;;
    --parallel) parallel=$2 ;;
  esac
  shift 2
done
[ -n "$input" ] || fail_usage "--input is missing"
[ -d "$input" ] || fail_usage "--input $input is no directory"
[[ $parallel =~ ^[1-9][0-9]*$ ]] || fail_usage "--parallel is $parallel: give a number of steps from 1"
if [ "$parallel" -gt 1 ]; then
  ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)) || fail_usage "--parallel needs bash 5.1; this is $BASH_VERSION"
  command -v taskset >/dev/null || fail_usage "--parallel needs taskset, which Linux has"
fi

# shellcheck source=scripts/enter.sh
source "$(dirname "${BASH_SOURCE[0]}")/enter.sh" --dev
cores=()
if [ "$parallel" -gt 1 ]; then
  mapfile -t cores < <(python -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
  [ "$parallel" -le ${#cores[@]} ] || { say "--parallel is $parallel, and there are ${#cores[@]} cores"; exit 2; }
fi
work=${work:-data/leaderboard} docs=${docs:-docs} systems=${systems:-scripts/leaderboard.toml}
baselines=(${baselines:+--config "$baselines"})
mkdir -p "$work" "$docs"
# Of users held out, the models' own lists are judged: otherwise all systems would give them the most rated items.
cold=()
[ "$split" != cold_user ] || cold=(--cold-users model)
[ "$dataset $split" = "mal2023 random" ] && what=$input || what="$input as $dataset, split $split"
[ -e "$work/.input" ] || echo "$what" >"$work/.input"
[ "$(cat "$work/.input")" = "$what" ] || {
  say "$work holds the leaderboard of $(cat "$work/.input"): give $what another --work, or delete that one"
  exit 2
}

wanted() { [ -z "$only" ] || [[ " $only " == *" $1 "* ]]; }

# --- steps at once -------------------------------------------------------------------------------

# run_steps: run each line of stdin, words between tabs, as a command; --parallel of them at once. After one has failed no
# other begins.
run_steps() {
  local words
  if [ "$parallel" -gt 1 ]; then
    run_at_once
    return
  fi
  while IFS=$'\t' read -r -a words; do "${words[@]}" </dev/null; done
}

run_at_once() {
  local -A slot_of=()
  local free=() slot pid status=0 words
  for ((slot = 0; slot < parallel; slot++)); do free+=("$slot"); done
  while IFS=$'\t' read -r -a words; do
    if [ ${#free[@]} = 0 ]; then
      wait -n -p pid || status=$?
      free=("${slot_of[$pid]}")
      unset "slot_of[$pid]"
      [ $status = 0 ] || break
    fi
    slot=${free[0]} free=("${free[@]:1}")
    (
      take_share "$slot"
      "${words[@]}"
    ) </dev/null &
    slot_of[$!]=$slot
  done
  for pid in "${!slot_of[@]}"; do wait "$pid" || status=$?; done
  return $status
}

# take_share SLOT: keep this shell and what it starts to the cores of a slot.
take_share() {
  local each=$((${#cores[@]} / parallel))
  taskset --cpu-list --pid "$(IFS=,; echo "${cores[*]:$1 * each:each}")" $BASHPID >/dev/null
}

# --- steps ---------------------------------------------------------------------------------------

# prepared DUMP OUTPUT ARGUMENT...: prepare the dump, unless it is prepared.
prepared() {
  [ -e "$2/manifest.json" ] || spark-submit jobs/prepare.py --input "$1" --output "${@:2}"
}

# trained PRESET DATA RUN ARGUMENT...: train; a run that is finished stays, one with other settings is refused.
trained() {
  torchrun widedeep/train.py --config "conf/train/$1.toml" --data "$2" --run-dir "${@:3}"
}

# scored DATA RUN SYSTEM: lists to evaluate, and the predicted test ratings unless the model only ranks; what is newer
# than the model stays.
scored() {
  local last=$3/recommendations predictions=()
  grep -q '"rates": false' "$2/metrics.json" || last=$3/predictions predictions=(--predictions "$3/predictions")
  [ "$3/recommendations/_manifest.json" -nt "$2/model.safetensors" ] &&
    [ "$last/_manifest.json" -nt "$2/model.safetensors" ] && return
  spark-submit jobs/score_all.py --data "$1" --run-dir "$2" --output "$3/recommendations" \
    ${predictions[@]+"${predictions[@]}"} ${cold[@]+"${cold[@]}"} --exclude train,valid --top-n 20 --overwrite
}

fit_baselines() { # SEED
  say "seed $1: baselines"
  spark-submit jobs/baselines.py ${baselines[@]+"${baselines[@]}"} \
    --data "$work/seed-$1/prepared" --output "$work/seed-$1/systems"
}

measure_model() { # SEED NAME PRESET FLAG...
  local here=$work/seed-$1
  say "seed $1: $2"
  trained "$3" "$here/prepared" "$here/runs/$2" --seed "$1" "${@:4}"
  scored "$here/prepared" "$here/runs/$2" "$here/systems/$2"
}

# What was published: the results computed again on a dump with entries that have no score, and each preset with its own
# sample, split and settings.
make_published_dumps() {
  [ -e "$work/published.json" ] || python scripts/published.py --input "$input" --unscored "$work/unscored" \
    --mean-scores "$work/mean_scores" --json "$work/published.json"
}

train_as_published() { # PRESET
  local here=$work/published/$1 dump=$input config=()
  say "$1"
  case $1 in
    genre_hybrid_published) dump=$work/unscored ;;
    wide_deep_features_published) dump=$work/mean_scores config=(--dataset "$work/mean_scores/dataset.toml") ;;
  esac
  [ ! -e "conf/prepare/$1.toml" ] || config+=(--config "$1")
  prepared "$dump" "$here/prepared" ${config[@]+"${config[@]}"}
  trained "$1" "$here/prepared" "$here/run"
}

# --- all of it -----------------------------------------------------------------------------------

published=()
if [ "$dataset $split" = "mal2023 random" ]; then
  for file in conf/train/*_published.toml; do
    preset=$(basename "$file" .toml)
    ! wanted "$preset" || published+=("$preset")
  done
fi

first_steps() {
  local seed
  for seed in $seeds; do
    printf '%s\t' prepared "$input" "$work/seed-$seed/prepared" --seed "$seed" --dataset "$dataset" --split.kind "$split"
    echo
  done
  [ "$dataset $split" != "mal2023 random" ] || echo make_published_dumps
}

systems_to_measure() {
  local seed line preset
  for seed in $seeds; do
    printf 'fit_baselines\t%s\n' "$seed"
    while IFS=$'\t' read -r line; do
      ! wanted "${line%%$'\t'*}" || printf 'measure_model\t%s\t%s\n' "$seed" "$line"
    done <"$work/.presets"
  done
  for preset in ${published[@]+"${published[@]}"}; do printf 'train_as_published\t%s\n' "$preset"; done
}

python scripts/leaderboard.py presets --systems "$systems" >"$work/.presets"
first_steps | run_steps
systems_to_measure | run_steps
for seed in $seeds; do
  spark-submit jobs/evaluate.py --data "$work/seed-$seed/prepared" --systems "$work/seed-$seed/systems"
done

# Paired tests against the best baseline by error, and the best by its lists, on the lowest seed.
python scripts/leaderboard.py best --systems "$systems" --work "$work" >"$work/.best"
while read -r seed name; do
  here=$work/seed-$seed
  spark-submit jobs/evaluate.py --data "$here/prepared" --systems "$here/systems" --against "$name" </dev/null
done <"$work/.best"
python scripts/leaderboard.py write --systems "$systems" --work "$work" --docs "$docs" --name "$table"
