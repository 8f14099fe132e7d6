"""Settings of wide_deep_history."""

from typing import Literal

from pydantic import Field

from widedeep.config.fields import Count, DropShare, MaybeWidths, Names, Share
from widedeep.config.models import ArchitectureConfig


class WideDeepHistoryConfig(ArchitectureConfig):
    """wide_deep_history: crosses of a user's history with an item, attention over the history, and an MLP over all."""

    name: Literal["wide_deep_history"] = "wide_deep_history"
    embedding_dim: Count = Field(default=32, ge=1, description="width of each vector of an item")
    embedding_sd: float = Field(default=0.03, gt=0, description="standard deviation of the embeddings' initial values")
    heads: Count = Field(default=4, ge=0, description="heads of the attention over the history; 0: none")
    attention_hidden: Count = Field(default=16, ge=1, description="hidden width of the MLP that weighs a rating")
    hidden: MaybeWidths = Field(
        default=(128, 32), description="widths of the towers' hidden layers; none: linear towers"
    )
    dropout: DropShare = Field(default=0.2, description="share of hidden units set to 0 in training")
    bag_dropout: DropShare = Field(default=0.3, description="share of the history's bag set to 0 in training")
    ridge: float = Field(default=250.0, gt=0, description="ridge of the item x item weights")
    folds: Count = Field(
        default=5, ge=2, description="parts of the users, without each of which weights and factors are fitted"
    )
    sparse_kept: Count = Field(default=50, ge=0, description="sparse weights kept for each item; 0: there are none")
    sparse_l1: float = Field(default=1.0, ge=0, description="penalty of the sparse weights that leaves few of them")
    sparse_l2: float = Field(default=10.0, gt=0, description="penalty of the squares of the sparse weights")
    factors: Count = Field(default=8, ge=0, description="latent factors of users and items; 0: there are none")
    candidates: Count = Field(default=200, ge=1, description="items that the deep part ranks for each user")
    trained_candidates: Count = Field(default=100, ge=1, description="of them, how many a training step looks at")
    cold_candidates: Count = Field(
        default=20, ge=0, description="unrated items that the deep part ranks for each user beside the candidates"
    )
    max_history: Count = Field(default=1000, ge=1, description="ratings of a history that are read at most")
    held_out: Share = Field(default=0.11, description="share of a history that a training step holds out")
    cold_histories: Share = Field(default=0.02, description="share of histories that a training step holds out whole")
    cold_items: Share = Field(default=0.01, description="share of items that a training step treats as if unrated")
    user_neighbours: Count = Field(
        default=0, ge=0, description="people of like taste whose ratings of an item the towers see; 0: none"
    )
    user_pool: Count = Field(
        default=8192, ge=1, description="users of the data among whom they are, those with the most ratings"
    )
    titles: Count = Field(default=32, ge=0, description="similar titles kept for each item; 0: none are compared")
    columns: Names = Field(
        default=("genres", "studios", "type", "source", "age_rating", "producers"),
        description="category and multi-valued columns of items; those that the data set lacks are left out",
    )
    kinds: Names = Field(default=("type",), description="those of the columns that say what kind of item it is")
    numbers: Names = Field(default=("aired_start",), description="numbers of items")
    user_columns: Names = Field(
        default=("gender", "occupation", "location"),
        description="category and multi-valued columns of users; those that the data set lacks are left out",
    )
    user_numbers: Names = Field(default=("age",), description="numbers of users")
    release: str = Field(default="aired_start", description="number that says when an item came out; empty: none does")
    fame: str = Field(default="members", description="number that says how well known an item is; empty: none does")
    genres: str = Field(
        default="genres", description="multi-valued column by which histories and items are compared; empty: none does"
    )
