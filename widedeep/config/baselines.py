"""Settings of jobs/baselines.py: what is tried on valid."""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from widedeep.config.fields import Count, Settings, comma_separated

BaselineName = Literal["global_mean", "bias", "popularity", "user_knn", "item_knn", "als", "mf", "implicit_als", "ease"]
BASELINES: tuple[BaselineName, ...] = get_args(BaselineName)
Correlation = Literal["cosine", "pearson"]
Sizes = tuple[Annotated[Count, Field(ge=1)], ...]
Amounts = tuple[Annotated[float, Field(ge=0)], ...]
Positive = tuple[Annotated[float, Field(gt=0)], ...]


class Grid(Settings):
    """What is tried on valid: every combination of the values of a baseline's lists, or of its ratings."""

    @model_validator(mode="after")
    def _something_to_try(self) -> "Grid":
        empty = [name for name, values in self if values == ()]
        if empty:
            raise ValueError(f"{', '.join(empty)} must name at least one value")
        return self


class BiasGrid(Grid):
    """Of `bias`, for its ratings and its lists."""

    user_priors: Positive = Field(default=(1.0, 2.0, 5.0), description="ratings at zero bias given to each user")
    item_priors: Positive = Field(
        default=(0.5, 1.0, 3.0, 300.0, 30_000.0), description="ratings at zero bias given to each anime"
    )


class PopularityGrid(Grid):
    """Of `popularity`."""

    least_ratings: Amounts = Field(default=(1.0, 8.0), description="ratings below do not count")


class UserKnnGrid(Grid):
    """Of `user_knn`."""

    list_exponents: Amounts = Field(
        default=(0.5, 0.7, 0.9), description="0.5: cosine; above, users of long lists count less"
    )
    list_shrinkages: Amounts = Field(default=(0.0, 20.0, 50.0), description="added to the similarity's divisor")
    list_neighbours: Sizes = Field(default=(25, 50, 100), description="users who vote on a list")
    rating_similarities: tuple[Correlation, ...] = Field(default=("cosine", "pearson"), description="of residuals")
    rating_shrinkages: Amounts = Field(default=(3.0, 10.0, 50.0), description="common anime that halve a correlation")
    rating_neighbours: Sizes = Field(default=(300, 1000, 2000), description="most similar users of all, raters or not")
    rating_dampings: Positive = Field(default=(0.03, 0.1, 0.5), description="weight of a correction of 0")


class ItemKnnGrid(Grid):
    """Of `item_knn`."""

    list_exponents: Amounts = Field(
        default=(0.5, 0.7, 0.8, 0.9), description="0.5: cosine; above, a much rated anime says less of its raters"
    )
    list_shrinkages: Amounts = Field(default=(0.0, 20.0), description="added to the similarity's divisor")
    list_neighbours: Sizes = Field(default=(2, 3, 5, 10), description="anime that speak for an anime")
    rating_similarities: tuple[Correlation, ...] = Field(default=("cosine", "pearson"), description="of residuals")
    rating_shrinkages: Amounts = Field(
        default=(50.0, 200.0, 1000.0), description="common raters that halve a correlation"
    )
    rating_neighbours: Sizes = Field(default=(5, 10, 20), description="most similar of the user's rated anime")
    rating_dampings: Positive = Field(default=(0.01, 0.05, 0.2), description="weight of a correction of 0")


class AlsGrid(Grid):
    """Of `als` (on ratings) and of `mf` (on what the biases leave of them)."""

    ranks: Sizes = Field(default=(64, 128), description="factors")
    regularisations: Amounts = Field(
        default=(0.07, 0.1, 0.14), description="penalty of a vector for each of its ratings"
    )
    iterations: Count = Field(default=10, ge=1, description="sweeps over users and anime")


class ImplicitAlsGrid(Grid):
    """Of `implicit_als`."""

    ranks: Sizes = Field(default=(64, 128), description="factors")
    regularisations: Amounts = Field(default=(0.1, 0.2), description="penalty of a vector for each of its ratings")
    alphas: Amounts = Field(default=(2.0, 5.0), description="confidence in a rated anime is 1 + alpha")
    iterations: Count = Field(default=10, ge=1, description="sweeps over users and anime")


class EaseGrid(Grid):
    """Of `ease`."""

    l2: Positive = Field(
        default=(50.0, 100.0, 200.0, 400.0), description="penalty of the weights; grows with the number of users"
    )


class BaselinesConfig(Settings):
    """Fit known methods on train, tune them on valid, write their lists and predictions for test.

    Lists are written for every user with a test rating of 8 or more; they leave out the anime of the train and
    valid splits. Users without training ratings get the most rated anime. Predictions are written for every rating
    of the test split.
    """

    data: str = Field(default="data/prepared", description="directory written by jobs/prepare.py")
    output: str = Field(default="data/systems", description="directory of systems, one directory for each baseline")
    only: Annotated[tuple[BaselineName, ...], BeforeValidator(comma_separated)] = Field(
        default=BASELINES, description="baselines to run, NAME,NAME"
    )
    top_n: Count = Field(default=20, ge=1, description="anime for each user")
    resume: Literal["auto", "never"] = Field(
        default="auto", description="auto: skip the baselines that are finished; never: run them again"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the users tuned on and of ALS")
    tune_users: Count = Field(default=5000, ge=1, description="users whose valid ratings choose the settings")
    memory_gb: float = Field(
        default=16.0, gt=0, description="refuse to start with more rated anime than item_knn and ease can hold in this"
    )
    bias: BiasGrid = BiasGrid()
    popularity: PopularityGrid = PopularityGrid()
    user_knn: UserKnnGrid = UserKnnGrid()
    item_knn: ItemKnnGrid = ItemKnnGrid()
    als: AlsGrid = AlsGrid()
    mf: AlsGrid = AlsGrid()
    implicit_als: ImplicitAlsGrid = ImplicitAlsGrid()
    ease: EaseGrid = EaseGrid()
