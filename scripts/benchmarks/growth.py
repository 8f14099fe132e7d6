"""Time each command to its end, with its memory: how they grow with the data."""

from benchmarks.measure import Round, command
from benchmarks.workspace import Workspace


def bench(workspace: Workspace, repeats: int) -> list[Round]:
    """Prepare a dump, train an epoch resident and streaming, and score all users."""
    return [measure(workspace) for _ in range(repeats)]


def measure(workspace: Workspace) -> Round:
    """Run each command once."""
    stream_run, lists = workspace.path / "stream-run", workspace.path / "lists"
    prepared = workspace.prepare()
    resident = workspace.train(workspace.path / "run")
    stream = workspace.train(stream_run, "--loader.mode", "stream")
    score = command(
        *("spark-submit", "jobs/score_all.py", "--data", workspace.prepared, "--run-dir", workspace.run),
        *("--output", lists, "--method", "two_stage", "--overwrite"),
    )
    return {
        "prepare_seconds": prepared.seconds,
        "prepare_peak_bytes": prepared.peak_bytes,
        "train_seconds": resident.seconds,
        "train_epoch_seconds": workspace.metrics(workspace.run)["train"]["seconds"],
        "train_peak_bytes": resident.peak_bytes,
        "stream_seconds": stream.seconds,
        "stream_epoch_seconds": workspace.metrics(stream_run)["train"]["seconds"],
        "stream_peak_bytes": stream.peak_bytes,
        "score_seconds": score.seconds,
        "score_peak_bytes": score.peak_bytes,
    }
