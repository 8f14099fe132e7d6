"""Make the data on which the stages are measured, once for each size."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Cost, command
from widedeep.models.artifact import MODEL_FILE


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
            self.prepare()
        return target

    def prepare(self) -> Cost:
        """Prepare the dump anew, and return what that took."""
        raw, target = self.raw, self.path / "prepared"
        return command("spark-submit", "jobs/prepare.py", "--input", raw, "--output", target, "--overwrite")

    @property
    def run(self) -> Path:
        """The run directory of a model, trained for one epoch if it does not exist."""
        target = self.path / "run"
        if not (target / "metrics.json").exists():
            self.train(target)
        return target

    @property
    def default_run(self) -> Path:
        """The run directory of the default model, trained for a few steps if it does not exist."""
        target = self.path / "default"
        if not (target / MODEL_FILE).exists():
            self.time_steps(target.name, 1, 1)
        return target

    def time_steps(self, name: str, rounds: int, ranks: int) -> dict[str, list[float]]:
        """Train the default model anew for a few steps in each round; return what steps.py measured in each."""
        run, script = self.path / name, Path(__file__).with_name("steps.py")
        shutil.rmtree(run, ignore_errors=True)
        result = self.path / f"{name}.json"
        command("torchrun", "--nproc-per-node", str(ranks), script, self.prepared, run, str(rounds), result)
        return json.loads(result.read_text())

    def train(self, run: Path, *options: str, ranks: int = 1) -> Cost:
        """Train the plain wide & deep anew for one epoch into `run`, and return what that took."""
        shutil.rmtree(run, ignore_errors=True)
        launch = ("torchrun", "--nproc-per-node", str(ranks), "widedeep/train.py", "--config", "wide_deep")
        settings = ("--data", self.prepared, "--run-dir", run, "--epochs", "1", "--ranking-users", "0")
        return command(*launch, *settings, *options)

    @staticmethod
    def metrics(run: Path) -> dict[str, Any]:
        """Return the metrics of a run."""
        return json.loads((run / "metrics.json").read_text())
