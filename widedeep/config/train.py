"""Sections of the settings of widedeep/train.py; training/settings.py puts them together."""

from typing import Literal

from pydantic import Field

from widedeep.config.fields import Count, MaybeFloat, ReaderName, Settings, Share


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


class RankingConfig(Settings):
    """How losses learn to rank: against negatives, items drawn at random."""

    negatives: Count = Field(default=16, ge=1, description="negatives beside each rating")
    popularity: Share = Field(
        default=1.0,
        description="negatives are drawn in proportion to their training ratings to this power; 0: all alike",
    )
    weight: float = Field(default=0.1, gt=0, description="joint: weight of the ranking beside that of the ratings")


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
        description="check the digest of each file before it is used; page checksums are checked in any case",
    )
