"""Settings that architectures share. Each architecture adds its own in its file of widedeep/models."""

from pydantic import Field

from widedeep.config.fields import DropShare, Settings, Widths


class ArchitectureConfig(Settings):
    """Settings of all architectures with embeddings. Subclasses add `name: Literal["…"] = "…"`."""

    embedding_dropout: DropShare = Field(default=0.0, description="share of embedding coordinates set to 0 in training")
    embedding_sd: float = Field(default=0.05, gt=0, description="standard deviation of the embeddings' initial values")


class TowerConfig(ArchitectureConfig):
    """Settings of all architectures with an MLP."""

    hidden: Widths = Field(default=(128, 64), description="widths of the hidden layers")
    batch_norm: bool = Field(default=False, description="batch normalisation before each ReLU")
    dropout: DropShare = Field(default=0.0, description="share of hidden units set to 0 in training")
