"""Settings of widedeep/train.py. They stand here, above the architectures, which have their own settings."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from widedeep.config.fields import (
    DRY_RUN,
    RUN_DIR,
    Count,
    MaybeCount,
    MaybeFloat,
    MaybePath,
    MaybeText,
    Settings,
    comma_separated,
    none,
)
from widedeep.config.train import EmbeddingConfig, LoaderConfig, OptimConfig, RankingConfig
from widedeep.models import ARCHITECTURES, ModelConfig
from widedeep.training.losses import LOSSES

Metric = Literal["rmse", "ndcg", "both"]
TrackNames = Annotated[tuple[Literal["tensorboard", "mlflow"], ...], BeforeValidator(comma_separated)]


class TrainConfig(Settings):
    """Train a model on prepared ratings, in one process or in several under torchrun."""

    data: Path = Field(default=Path("data/prepared"), description="directory written by jobs/prepare.py")
    run_dir: Path = Field(
        default=Path("runs/best"),
        validation_alias=RUN_DIR,
        description="directory to write checkpoints, metrics and the model to",
    )
    resume: str = Field(
        default="auto",
        description="auto: continue from the newest checkpoint; never: start anew; PATH: continue from this checkpoint",
    )
    dry_run: bool = DRY_RUN
    warm_start: MaybePath = Field(
        default=None,
        description="directory of an older run on older data, whose weights the model begins with; none: a new model",
    )
    refit: bool = Field(
        default=False,
        description="train on train and valid together, for the final model: all epochs, of which the last is kept",
    )
    # NumPy and petastorm take 32 bits, and petastorm is given the seed plus the epoch.
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="random seed of initial weights, order of ratings and dropout"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: CUDA if there is a GPU")
    epochs: Count = Field(default=20, ge=1, description="maximal number of passes over the training split")
    max_steps: MaybeCount = Field(
        default=None, ge=1, description="end after this many steps, within an epoch if need be; none: after the epochs"
    )
    batch_size: Count = Field(default=8192, ge=1, description="ratings in a step, over all ranks together")
    eval_batch_size: Count = Field(default=65_536, ge=1, description="ratings in a step of evaluation, on each rank")
    patience: MaybeCount = Field(
        default=3, ge=1, description="stop after this many epochs without a better one; none: never"
    )
    select_by: Annotated[Metric | None, BeforeValidator(none)] = Field(
        default=None,
        description="metric of the valid split that makes an epoch the best: rmse, ndcg for NDCG@10, or both for "
        "RMSE / RMSE of user + item biases - NDCG@10; default: rmse if the loss trains ratings, else ndcg",
    )
    loss: MaybeText = Field(
        default=None,
        description=f"one of {', '.join(LOSSES)}, see training/losses.py; default: the architecture's",
    )
    timeout_seconds: float = Field(
        default=1800.0, gt=0, description="seconds after which a rank that does not answer the others ends the job"
    )
    checkpoint_seconds: float = Field(default=300.0, gt=0, description="seconds between checkpoints within an epoch")
    keep_checkpoints: Count = Field(default=2, ge=1, description="number of checkpoints kept, the newest")
    ranking_users: Count = Field(default=2000, ge=0, description="users for whom ranking metrics are measured; 0: none")
    track: TrackNames = Field(
        default=("tensorboard",),
        description='what shows the curves of the training: tensorboard, mlflow, both, or ""; metrics.jsonl has '
        "those of the epochs in any case",
    )
    track_steps: MaybeCount = Field(
        default=50, ge=1, description="steps between two that are tracked; none: only epochs are"
    )
    report: bool = Field(
        default=True, description="write report.json, report.html and README.md, a model card, at the end"
    )
    model: ModelConfig = Field(
        default=ARCHITECTURES[0].config_class(), description="the architecture; see widedeep/models"
    )
    optim: OptimConfig = OptimConfig()
    ranking: RankingConfig = RankingConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    loader: LoaderConfig = LoaderConfig()

    @model_validator(mode="after")
    def _begins_elsewhere(self) -> Self:
        if self.warm_start and self.warm_start.resolve() == self.run_dir.resolve():
            raise ValueError("warm_start and run_dir are the same directory: give the new run one of its own")
        return self


class SearchConfig(TrainConfig):
    """Search for the settings of a training that are best on the valid split; a trial gives its own run_dir."""

    space: MaybeText = Field(
        default=None,
        description="what the trials vary: a file of conf/search, by its name, or the path of a TOML file; "
        "none: the file of the architecture's name",
    )
    study: Path = Field(default=Path("runs/search"), description="directory of the search; each trial is a run in it")
    trials: Count = Field(default=50, ge=1, description="trials in all, those of an earlier command included")
    hours: MaybeFloat = Field(default=None, gt=0, description="start no trial after this many hours; none: no limit")
    objective: Metric = Field(default="both", description="select_by of all trials, and what the search minimises")
    prune: bool = Field(
        default=True, description="whether a trial ends early that is worse than half of the others at the same epoch"
    )
