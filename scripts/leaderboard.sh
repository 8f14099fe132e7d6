#!/usr/bin/env bash
# Evaluate every system and baseline on one dump in the same way, over several seeds; write the tables and the picture.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/leaderboard.sh --input DIR [--work DIR] [--docs DIR] [--seeds "0 1 2"] [--only "NAME ..."]
                              [--baselines FILE] [--dataset NAME] [--systems FILE] [--split KIND]
                              [--name NAME]

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
END
}

say() { echo "leaderboard: $*" >&2; }

fail_usage() {
  say "$*"
  usage >&2
  exit 2
}

absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac }

input="" work="" docs="" seeds="0 1 2" only="" baselines="" dataset=mal2023 systems="" split=random table=leaderboard
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --input | --work | --docs | --seeds | --only | --baselines | --dataset | --systems | --split | --name)
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
  esac
  shift 2
done
[ -n "$input" ] || fail_usage "--input is missing"
[ -d "$input" ] || fail_usage "--input $input is no directory"

# shellcheck source=scripts/enter.sh
source "$(dirname "${BASH_SOURCE[0]}")/enter.sh" --dev
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

python scripts/leaderboard.py presets --systems "$systems" >"$work/.presets"
for seed in $seeds; do
  here=$work/seed-$seed
  say "seed $seed"
  prepared "$input" "$here/prepared" --seed "$seed" --dataset "$dataset" --split.kind "$split"
  spark-submit jobs/baselines.py ${baselines[@]+"${baselines[@]}"} --data "$here/prepared" --output "$here/systems"
  while IFS=$'\t' read -r -a line; do
    name=${line[0]} preset=${line[1]} flags=("${line[@]:2}")
    wanted "$name" || continue
    trained "$preset" "$here/prepared" "$here/runs/$name" --seed "$seed" ${flags[@]+"${flags[@]}"} </dev/null
    scored "$here/prepared" "$here/runs/$name" "$here/systems/$name" </dev/null
  done <"$work/.presets"
  spark-submit jobs/evaluate.py --data "$here/prepared" --systems "$here/systems"
done

# What was published: the results computed again on a dump with entries that have no score, and each preset with its own
# sample, split and settings.
as_published() {
  if [ ! -e "$work/published.json" ]; then
    python scripts/published.py --input "$input" --unscored "$work/unscored" \
      --mean-scores "$work/mean_scores" --json "$work/published.json"
  fi
  local file preset here dump config
  for file in conf/train/*_published.toml; do
    preset=$(basename "$file" .toml)
    wanted "$preset" || continue
    say "$preset"
    here=$work/published/$preset dump=$input config=()
    case $preset in
      genre_hybrid_published) dump=$work/unscored ;;
      wide_deep_features_published) dump=$work/mean_scores config=(--dataset "$work/mean_scores/dataset.toml") ;;
    esac
    [ ! -e "conf/prepare/$preset.toml" ] || config+=(--config "$preset")
    prepared "$dump" "$here/prepared" ${config[@]+"${config[@]}"}
    trained "$preset" "$here/prepared" "$here/run"
  done
}
if [ "$dataset $split" = "mal2023 random" ]; then as_published; fi

# Paired tests against the best baseline by error, and the best by its lists, on the lowest seed.
python scripts/leaderboard.py best --systems "$systems" --work "$work" >"$work/.best"
while read -r seed name; do
  here=$work/seed-$seed
  spark-submit jobs/evaluate.py --data "$here/prepared" --systems "$here/systems" --against "$name" </dev/null
done <"$work/.best"
python scripts/leaderboard.py write --systems "$systems" --work "$work" --docs "$docs" --name "$table"
