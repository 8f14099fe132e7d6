"""Results of exploring a dump, as pandas frames: Spark computes them and the page shows them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from widedeep.schema.rating_scale import RatingScale

MIN_RATINGS = 10  # ratings that an anime or a user needs for its mean to be compared with the stated one


@dataclass(frozen=True)
class Agreement:
    """Comparison of the mean that the dump states with the mean of its ratings, for anime or for users."""

    column: str  # of the dump
    of: str  # anime or users
    entities: int
    correlation: float | None  # None: undefined, since one of the two is constant
    difference: float | None  # root mean square; None without entities
    bins: pd.DataFrame  # stated, entities, low, own, high


@dataclass(frozen=True)
class Prepared:
    """Facts from the manifest of the prepared directory."""

    directory: str
    read: int
    quarantined: dict[str, dict[str, int]]  # file -> reason -> rows
    examples: pd.DataFrame  # file, reason, rows, example
    leaks: dict[str, dict[str, Any]]  # column of the dump -> file, why, used
    audit: dict[str, Any] | None = None  # prepare's audit of features: `split`, and records of `items` and of `users`


@dataclass(frozen=True)
class Findings:
    """Aggregates of a dump; the functions in aggregates.py define the columns of the frames."""

    source: str  # the directory of the dump
    scale: RatingScale
    histogram: pd.DataFrame
    type_levels: pd.DataFrame
    score_quantiles: pd.DataFrame
    genres: pd.DataFrame
    types: pd.DataFrame
    studios: pd.DataFrame  # those shown, which have most anime; first the row of anime without a studio, if any
    studio_count: int
    premieres: pd.DataFrame
    years: pd.DataFrame
    genders: pd.DataFrame
    user_tail: pd.DataFrame
    anime_tail: pd.DataFrame
    users: int  # in either file
    anime: int
    rows: dict[str, int]  # file -> rows read
    refused: dict[str, dict[str, int]]  # file -> reason -> rows
    missing: dict[str, dict[str, float]]  # file -> column, in the dump's order -> share of the rows without a value
    agreements: tuple[Agreement, ...] = ()
    prepared: Prepared | None = None

    @property
    def ratings(self) -> int:
        """Number of good ratings."""
        return int(self.histogram["n"].sum())

    @property
    def raters(self) -> int:
        """Number of users with a rating."""
        return int(self.user_tail["entities"].sum())

    @property
    def rated_anime(self) -> int:
        """Number of anime with a rating."""
        return int(self.anime_tail["entities"].sum())

    @property
    def density(self) -> float:
        """Share of all pairs of a rater and a rated anime that have a rating."""
        return self.ratings / (self.raters * self.rated_anime)

    @property
    def mean(self) -> float:
        """Mean rating."""
        return float(np.average(self.histogram["rating"], weights=self.histogram["n"]))

    @property
    def sd(self) -> float:
        """Standard deviation of the ratings: the RMSE of predicting the mean."""
        squares = (self.histogram["rating"] - self.mean) ** 2
        return math.sqrt(float(np.average(squares, weights=self.histogram["n"])))
