"""Make the data on which the stages are measured, once for each size."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Cost, command


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
            self.train(target)
        return target

    def train(self, run: Path, *options: str, ranks: int = 1) -> Cost:
        """Train the plain wide & deep for one epoch into `run`, and return what that took."""
        launch = ("torchrun", "--nproc-per-node", str(ranks), "widedeep/train.py", "--config", "wide_deep")
        settings = ("--data", self.prepared, "--run-dir", run, "--epochs", "1", "--ranking-users", "0")
        return command(*launch, *settings, *options)
