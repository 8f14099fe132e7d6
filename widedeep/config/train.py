"""Settings of widedeep/train.py."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from widedeep.common.command import CommandConfig
from widedeep.config.fields import RUN_DIR, Count, MaybeCount, MaybeFloat, ReaderName, Section, Share
from widedeep.config.models import ModelConfig, WideDeepConfig


class OptimConfig(Section):
    """How weights move."""

    name: Literal["adam", "adamw", "sgd", "adagrad"] = Field(default="adam", description="the update rule")
    lr: float = Field(default=5e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=0.0, ge=0, description="of the dense layers")
    embedding_decay: float = Field(default=0.0, ge=0, description="of the embeddings of the users and items in a batch")
    schedule: Literal["constant", "cosine", "linear"] = Field(default="constant", description="of the learning rate")
    warmup: Share = Field(default=0.0, description="share of all steps over which the rate rises from 0")
    clip_norm: MaybeFloat = Field(default=None, gt=0, description="largest norm of the gradient of the dense layers")


class EmbeddingConfig(Section):
    """Where the embedding tables are while training."""

    sharding: Literal["none", "row"] = Field(
        default="none", description="none: every rank holds all tables; row: each rank holds a share of their rows"
    )


class LoaderConfig(Section):
    """How ratings reach the trainer."""

    reader: ReaderName = Field(
        default="petastorm", description="what reads the shards; both give the same rows in the same order"
    )
    mode: Literal["auto", "resident", "stream"] = Field(
        default="auto", description="resident: ratings in memory; stream: flat memory, whatever the size"
    )
    resident_limit: Count = Field(
        default=200_000_000, ge=0, description="auto streams when the training split has more ratings than this"
    )
    shuffle_buffer: Count = Field(default=1 << 20, ge=1, description="rows a streaming rank shuffles over")
    verify: bool = Field(
        default=True,
        description="check each shard's digest before the first epoch; page checksums are checked whatever this says",
    )


class TrainConfig(CommandConfig):
    """Train a model on prepared ratings; one process, or many under torchrun."""

    data: Path = Field(default=Path("data/prepared"), description="directory written by jobs/prepare.py")
    run_dir: Path = Field(
        default=Path("runs/wide_deep"),
        validation_alias=RUN_DIR,
        description="directory of checkpoints, metrics and the model",
    )
    resume: str = Field(
        default="auto", description="auto: go on from the newest checkpoint; never: start anew; or a checkpoint's path"
    )
    # NumPy and petastorm take 32 bits, and petastorm is given the seed plus the epoch.
    seed: int = Field(default=0, ge=0, lt=2**31, description="of initial weights, order of samples and dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: CUDA where there is one")
    epochs: Count = Field(default=20, ge=1, description="the most passes over the training split")
    batch_size: Count = Field(default=8192, ge=1, description="ratings a step, over all ranks together")
    eval_batch_size: Count = Field(default=65_536, ge=1, description="ratings a step in evaluation, on each rank")
    patience: MaybeCount = Field(
        default=3, ge=1, description="stop after this many epochs without a better valid RMSE; none: never"
    )
    checkpoint_seconds: float = Field(default=300.0, gt=0, description="between checkpoints within an epoch")
    keep_checkpoints: Count = Field(default=2, ge=1, description="newest checkpoints kept")
    ranking_users: Count = Field(
        default=2000, ge=0, description="test users whose ranking metrics are measured; 0: none"
    )
    model: ModelConfig = Field(default=WideDeepConfig(), description="the architecture; see widedeep/models")
    optim: OptimConfig = OptimConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    loader: LoaderConfig = LoaderConfig()
