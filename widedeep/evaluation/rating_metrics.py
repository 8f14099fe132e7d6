"""RMSE, R2 and calibration of predicted ratings, computed from sums: add first, divide once."""

import math
from collections.abc import Iterable, Mapping, Sequence

from widedeep.schema.evaluation import BUCKETS, CalibrationBin, ErrorMetrics, RatingMetrics
from widedeep.schema.rating_scale import RatingScale

LEAST_VARIANCE = 1e-12  # below, ratings are equal but for rounding, and R2 is undefined


def rmse_and_r2(ratings: float, squared_error: float, rating: float, squared_rating: float) -> tuple[float, float]:
    """RMSE and R2 of predicted ratings; NaN where they are undefined.

    RMSE = sqrt(mean squared error); R2 = 1 - mean squared error / variance of the ratings, the share of the variance
    that the predictions explain.

    Args:
        ratings: number of ratings.
        squared_error: sum of the squared errors.
        rating: sum of the ratings.
        squared_rating: sum of the squared ratings.

    """
    if not ratings:
        return math.nan, math.nan
    error = squared_error / ratings
    variance = squared_rating / ratings - (rating / ratings) ** 2
    return math.sqrt(max(error, 0.0)), 1.0 - error / variance if variance > LEAST_VARIANCE else math.nan


def rating_metrics(cells: Sequence[Mapping], scale: RatingScale) -> RatingMetrics:
    """Metrics of predicted ratings, from sums over cells; they do not depend on how ratings are cut into cells.

    Args:
        cells: `user_bucket` and `item_bucket` (names of BUCKETS), `bin` (number of the predicted rating's bin), the
            number of the cell's `ratings`, and the sums `squared_error`, `absolute_error`, `rating`, `squared_rating`
            and `predicted` over them.
        scale: the scale of the ratings.

    """
    bins = tuple(
        _calibration_bin(int(number), part, bin_width(scale)) for number, part in sorted(_grouped(cells, "bin").items())
    )
    off = sum(b.ratings * abs(b.mean_predicted - b.mean_rating) for b in bins)
    count = sum(b.ratings for b in bins)
    by_user, by_item = (_grouped(cells, f"{side}_bucket") for side in ("user", "item"))
    return RatingMetrics(
        overall=_error_metrics(cells),
        by_user_ratings={name: _error_metrics(by_user.get(name, [])) for name, _ in BUCKETS},
        by_item_ratings={name: _error_metrics(by_item.get(name, [])) for name, _ in BUCKETS},
        calibration=bins,
        calibration_error=off / count if count else None,
    )


def bin_width(scale: RatingScale) -> float:
    """Width of a calibration bin: half a step of the scale. Bin n holds predictions from n to n + 1 times the width."""
    return scale.step / 2


def last_bin(scale: RatingScale) -> int:
    """Number of the highest calibration bin, which also holds the highest rating."""
    return round(scale.highest / bin_width(scale)) - 1


def _calibration_bin(number: int, cells: Sequence[Mapping], width: float) -> CalibrationBin:
    n, predicted, rating = (_total(cells, name) for name in ("ratings", "predicted", "rating"))
    low, high = number * width, (number + 1) * width
    return CalibrationBin(low=low, high=high, ratings=int(n), mean_predicted=predicted / n, mean_rating=rating / n)


def _grouped(cells: Iterable[Mapping], name: str) -> dict:
    groups: dict = {}
    for cell in cells:
        groups.setdefault(cell[name], []).append(cell)
    return groups


def _total(cells: Iterable[Mapping], name: str) -> float:
    return math.fsum(cell[name] for cell in cells)


def _error_metrics(cells: Sequence[Mapping]) -> ErrorMetrics:
    n = _total(cells, "ratings")
    rmse, r2 = rmse_and_r2(n, *(_total(cells, name) for name in ("squared_error", "rating", "squared_rating")))
    return ErrorMetrics(
        ratings=int(n),
        rmse=None if math.isnan(rmse) else rmse,
        mae=_total(cells, "absolute_error") / n if n else None,
        r2=None if math.isnan(r2) else r2,
    )
