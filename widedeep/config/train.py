"""Settings of widedeep/train.py."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from widedeep.config.fields import RUN_DIR, Count, MaybeCount, MaybeFloat, ReaderName, Settings, Share
from widedeep.config.models import ModelConfig, WideDeepConfig


class OptimConfig(Settings):
    """The optimizer and its learning rate."""

    name: Literal["adam", "adamw", "sgd", "adagrad"] = Field(default="adam", description="update rule")
    lr: float = Field(default=5e-3, gt=0, description="highest learning rate")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay of the dense layers")
    embedding_decay: float = Field(
        default=0.0, ge=0, description="weight decay of the embeddings of a batch's users and items"
    )
    schedule: Literal["constant", "cosine", "linear"] = Field(
        default="constant", description="how the learning rate changes over the steps"
    )
    warmup: Share = Field(default=0.0, description="share of all steps over which the learning rate rises from 0")
    clip_norm: MaybeFloat = Field(
        default=None, gt=0, description="highest gradient norm of the dense layers; none: not clipped"
    )


class EmbeddingConfig(Settings):
    """Where the embedding tables are during training."""

    sharding: Literal["none", "row"] = Field(
        default="none", description="none: every rank holds all tables; row: each rank holds a part of their rows"
    )


class LoaderConfig(Settings):
    """How ratings reach the trainer."""

    reader: ReaderName = Field(
        default="petastorm", description="library that reads the shards; both give the same rows in the same order"
    )
    mode: Literal["auto", "resident", "stream"] = Field(
        default="auto",
        description="resident: all ratings in memory; stream: a buffer of constant size; auto: by resident-limit",
    )
    resident_limit: Count = Field(
        default=200_000_000, ge=0, description="auto streams training splits with more ratings than this"
    )
    shuffle_buffer: Count = Field(
        default=1 << 20, ge=1, description="ratings in the buffer that a streaming rank shuffles"
    )
    verify: bool = Field(
        default=True,
        description="check the digest of each shard before the first epoch; page checksums are checked in any case",
    )


class TrainConfig(Settings):
    """Train a model on prepared ratings, in one process or in several under torchrun."""

    data: Path = Field(default=Path("data/prepared"), description="directory written by jobs/prepare.py")
    run_dir: Path = Field(
        default=Path("runs/wide_deep"),
        validation_alias=RUN_DIR,
        description="directory to write checkpoints, metrics and the model to",
    )
    resume: str = Field(
        default="auto",
        description="auto: continue from the newest checkpoint; never: start anew; PATH: continue from this checkpoint",
    )
    # NumPy and petastorm take 32 bits, and petastorm is given the seed plus the epoch.
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="random seed of initial weights, order of ratings and dropout"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: CUDA if there is a GPU")
    epochs: Count = Field(default=20, ge=1, description="maximal number of passes over the training split")
    batch_size: Count = Field(default=8192, ge=1, description="ratings in a step, over all ranks together")
    eval_batch_size: Count = Field(default=65_536, ge=1, description="ratings in a step of evaluation, on each rank")
    patience: MaybeCount = Field(
        default=3, ge=1, description="stop after this many epochs without a better valid RMSE; none: never"
    )
    checkpoint_seconds: float = Field(default=300.0, gt=0, description="seconds between checkpoints within an epoch")
    keep_checkpoints: Count = Field(default=2, ge=1, description="number of checkpoints kept, the newest")
    ranking_users: Count = Field(
        default=2000, ge=0, description="test users for whom ranking metrics are measured; 0: none"
    )
    model: ModelConfig = Field(default=WideDeepConfig(), description="the architecture; see widedeep/models")
    optim: OptimConfig = OptimConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    loader: LoaderConfig = LoaderConfig()
