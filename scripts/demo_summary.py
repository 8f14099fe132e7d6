"""The end of scripts/demo.sh: how good the model is, and one user's list."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from widedeep.common.console import print_table, stdout
from widedeep.data.feature_tables import Tables
from widedeep.data.parquet import open_parquet
from widedeep.schema.manifest import read_manifest


def main() -> None:
    """Print the table of errors, then a user's recommendations."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name in ("raw", "data", "run-dir", "recommendations"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    metrics = json.loads((args.run_dir / "metrics.json").read_text())
    planted = args.raw / "planted.json"
    show_errors(metrics, json.loads(planted.read_text())["rmse_floor"] if planted.exists() else None)
    settings = ["--user", str(first_user(args.data)), "--recommendations", str(args.recommendations)]
    stdout.print(f"\n$ widedeep recommendations {' '.join(settings)}", style="dim", soft_wrap=True, highlight=False)
    subprocess.run([sys.executable, "-m", "widedeep", "recommendations", *settings], check=True)
    outputs = f"--data {args.data} --run-dir {args.run_dir} --recommendations {args.recommendations}"
    stdout.print(
        f"\nTo look at lists in a browser, and to get one by your own ratings:\n$ scripts/serve.sh {outputs}",
        highlight=False,
    )


def show_errors(metrics: dict[str, Any], noise_floor: float | None) -> None:
    """Print the errors on the test split, from trivial predictions down to the noise floor."""
    test, reference_models = metrics["test"], metrics["reference_models"]
    bias = reference_models["bias"]["rmse"]
    rows = [
        ["the mean of all ratings", f"{reference_models['global_mean']['rmse']:.4f}", "", ""],
        ["mean + user's and anime's bias", f"{bias:.4f}", "", ""],
        ["this model", *(f"{test[name]:.4f}" for name in ("rmse", "mae", "r2"))],
    ]
    if noise_floor is not None:
        rows.append(["the planted truth (only noise left)", f"{noise_floor:.4f}", "", ""])
    print_table("Test split: error of the predicted rating", ["predicted by", "RMSE", "MAE", "R²"], rows)
    if noise_floor is not None:
        closed = (bias - test["rmse"]) / (bias - noise_floor)
        stdout.print(f"The model goes {closed:.0%} of the way from the biases to the planted truth.")
    speed, seconds = metrics["train"]["samples_per_second"], metrics["train"]["seconds"]
    stdout.print(f"Trained at {speed:,.0f} ratings a second, in {seconds:,.0f} s.", highlight=False)


def first_user(data: Path) -> int:
    """The user_id of the first training rating, a user who certainly has ratings."""
    manifest = read_manifest(data)
    with open_parquet(data / manifest.ratings.shards["train"][0].path) as shard:
        user = next(shard.iter_batches(1, columns=["user"])).column("user")[0].as_py()
    return Tables(data, manifest).users.values("user_id")[user].item()


if __name__ == "__main__":
    main()
