"""Make the data on which the stages are measured, once for each size."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import command


class Workspace(NamedTuple):
    """A directory with a dump, its prepared form and a trained model."""

    path: Path
    ratings: int

    @property
    def raw(self) -> Path:
        """The dump, generated if it does not exist."""
        target = self.path / "raw"
        if not (target / "manifest.json").exists():
            command("spark-submit", "jobs/synthesize.py", "--ratings", str(self.ratings), "--output", target)
        return target

    @property
    def prepared(self) -> Path:
        """The prepared dump, prepared if it does not exist."""
        target = self.path / "prepared"
        if not (target / "manifest.json").exists():
            command("spark-submit", "jobs/prepare.py", "--input", self.raw, "--output", target)
        return target

    @property
    def run(self) -> Path:
        """The run directory of a model, trained for one epoch if it does not exist."""
        target = self.path / "run"
        if not (target / "metrics.json").exists():
            train = ("torchrun", "widedeep/train.py", "--config", "wide_deep", "--data", self.prepared)
            command(*train, "--run-dir", target, "--epochs", "1", "--ranking-users", "0")
        return target
