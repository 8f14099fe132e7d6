"""The leaderboard of a small dump, by the script."""

import json
import shutil
import subprocess
from pathlib import Path
from statistics import mean

from tests.commands import run_command
from tests.training import ROOT
from widedeep.config.synthesize import SynthesizeConfig
from widedeep.spark.synthesis.synthesize import synthesize

GRIDS = """
only = "global_mean,bias,popularity,item_knn,ease"
[item_knn]
list_exponents = [0.5]
list_shrinkages = [0.0]
list_neighbours = [10]
rating_similarities = ["cosine"]
rating_shrinkages = [200.0]
rating_neighbours = [10]
rating_dampings = [0.05]
[ease]
l2 = [50.0, 100.0]
"""


def leaderboard(*arguments: str | Path) -> subprocess.CompletedProcess:
    script = ["bash", str(ROOT / "scripts" / "leaderboard.sh"), *map(str, arguments)]
    return run_command(script, ROOT, seconds=1100)


def test_two_seeds_of_one_model_side_by_side(spark, tmp_path):
    dump, work, docs = tmp_path / "dump", tmp_path / "work", tmp_path / "docs"
    synthesize(spark, SynthesizeConfig(output=str(dump), ratings=8_000, seed=3))
    few = tmp_path / "few.toml"  # one setting of each baseline but one
    few.write_text(GRIDS)
    only = "wide_deep genre_hybrid_published"
    flags = ("--baselines", few, "--work", work, "--docs", docs, "--seeds", "4 5", "--only", only)
    done = leaderboard("--input", dump, *flags, "--parallel", "2")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    board = json.loads((docs / "leaderboard.json").read_text())
    entries = {entry["system"]: entry for entry in board["entries"]}
    baselines = {"global_mean", "bias", "popularity", "item_knn", "ease"}
    assert set(entries) == {"wide_deep", "genre_hybrid_published", *baselines}
    assert entries["wide_deep"]["seeds"] == [4, 5]
    runs = [work / f"seed-{seed}" / "runs" / "wide_deep" for seed in (4, 5)]
    metrics = [json.loads((run / "metrics.json").read_text()) for run in runs]
    # Two paths to one figure: the trainer's own, and lists and predictions through Spark.
    assert abs(entries["wide_deep"]["rmse"] - mean(one["test"]["rmse"] for one in metrics)) < 1e-5
    biases = mean(one["reference_models"]["bias"]["rmse"] for one in metrics)
    assert abs(entries["bias"]["rmse"] - biases) < 0.02
    assert entries["wide_deep"]["rmse_against"]["against"] in baselines
    zeros = entries["genre_hybrid_published"]
    assert "those without a score as 0" in zeros["split"]
    assert zeros["rmse"] > 1.5 * entries["wide_deep"]["rmse"]
    assert zeros["honest"] == "genre_hybrid_32"
    assert len(board["claims"]) == 3
    assert {claim["compared"] for claim in board["verbal_claims"]} == {None}  # none of those systems was trained
    assert board["audit"]["items"]
    page = (docs / "leaderboard.md").read_text()
    for title in ("Models", "Baselines", "Lists", "Published and measured", "What each feature alone knows"):
        assert f"## {title}" in page
    assert (docs / "leaderboard.svg").stat().st_size > 10_000
    failing = tmp_path / "failing.toml"  # all that came before is kept
    failing.write_text('[presets.odd]\npreset = "wide_deep"\nflags = ["--no-such-flag"]\nlabel = "odd"\n')
    failed = leaderboard("--input", dump, *flags, "--parallel", "2", "--systems", failing, "--only", "odd")
    assert failed.returncode == 1, f"{failed.stdout}\n{failed.stderr}"
    assert "--no-such-flag" in failed.stderr
    assert "lists, judged by" in done.stdout
    assert "lists, judged by" not in failed.stdout  # what comes after the models has not begun
    other = tmp_path / "other"
    shutil.copytree(dump, other)
    refused = leaderboard("--input", other, *flags)
    assert refused.returncode == 2
    assert f"holds the leaderboard of {dump}" in refused.stderr
