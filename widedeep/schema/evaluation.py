"""What an evaluation says of a system, and how its figures follow from sums that Spark adds up.

A system predicts ratings, recommends lists, or both. An anime is relevant to a user whose test rating of it is
LIKED or more; the users are those with a relevant anime; the candidates are all anime that are not among the user's
train and valid ratings.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from widedeep.schema.manifest import MAX_RATING
from widedeep.schema.records import Record

FORMAT_VERSION = 1
FILE = "evaluation.json"
SHOWN, DEPTH = 10, 20  # lists are judged by their first 10; recall by their first 20
# Training ratings of a user or an item: (name, most of them).
BUCKETS = (("0", 0), ("1-5", 5), ("6-20", 20), ("21-100", 100), (">100", None))
BIN_WIDTH = 0.5
# From 0, which ratings reach where entries without a score count as that.
BINS = round(MAX_RATING / BIN_WIDTH)


class Errors(Record):
    """Errors of predictions clipped to the scale of ratings; None where there is nothing to divide by."""

    ratings: int
    rmse: float | None
    mae: float | None
    r2: float | None  # share of the ratings' variance that is explained


class CalibrationBin(Record):
    """Ratings predicted to lie in [low, high); the last bin holds its upper end too."""

    low: float
    high: float
    ratings: int
    mean_predicted: float
    mean_rating: float


class RatingFigures(Record):
    """Quality of predicted ratings."""

    overall: Errors
    by_user_ratings: dict[str, Errors]  # training ratings of the user -> errors; see BUCKETS
    by_item_ratings: dict[str, Errors]  # training ratings of the anime -> errors
    calibration: tuple[CalibrationBin, ...]  # bins without ratings are left out
    calibration_error: float | None  # mean |mean predicted - mean rating| of the bins, weighted by their ratings


class Mean(Record):
    """A mean over users and its standard error, sd / sqrt(users); None of too few users."""

    mean: float | None
    standard_error: float | None
    users: int


class RankingFigures(Record):
    """Quality of lists. Users without a list count as ones who were shown nothing relevant.

    Novelty and diversity say what the lists are like, so they are means over those users who have lists.
    """

    users: int  # with a relevant test rating
    users_with_list: int
    longest_list: int  # of the first DEPTH
    ndcg_at_10: Mean  # binary relevance (Järvelin & Kekäläinen, 2002)
    recall_at_20: Mean
    map_at_10: Mean  # precision at each hit, summed and divided by min(relevant, 10)
    mrr_at_10: Mean  # 1 / place of the first hit among the first 10
    hit_rate_at_10: Mean
    coverage_at_10: float  # share of all anime that are in some user's first 10
    novelty_at_10: Mean  # bits: -log2(share of training users who rated the anime); Vargas & Castells, 2011
    gini_at_10: float | None  # of how often each anime is shown: 0 all alike, near 1 always the same few
    diversity_at_10: Mean  # 1 - mean pairwise cosine of the genres; anime of unknown genre are left out


class Evaluation(Record):
    """`evaluation.json`; written last, so what it speaks of is there."""

    format_version: int = FORMAT_VERSION
    system: str
    data_digest: str  # of the prepared directory
    inputs: dict[str, str]  # recommendations, predictions -> sha256 of their manifests
    liked: float
    rating: RatingFigures | None
    ranking: RankingFigures | None


def bin_bounds(number: int) -> tuple[float, float]:
    """Predicted ratings that bin `number` of BINS holds."""
    return number * BIN_WIDTH, (number + 1) * BIN_WIDTH


def rating_figures(cells: Sequence[Mapping[str, object]]) -> RatingFigures:
    """Figures of predicted ratings from sums over cells; any way of cutting ratings into cells gives the same.

    Args:
        cells: `user_bucket` and `item_bucket` (names of BUCKETS), `bin` (number of the predicted rating's bin), and
            over the cell's ratings `ratings` (count) and the sums `squared_error`, `absolute_error`, `rating`,
            `squared_rating`, `predicted`.

    """
    bins = []
    for number, part in sorted(_grouped(cells, "bin").items()):
        n, predicted, rating = (_total(part, name) for name in ("ratings", "predicted", "rating"))
        low, high = bin_bounds(int(number))
        bins.append(
            CalibrationBin(low=low, high=high, ratings=int(n), mean_predicted=predicted / n, mean_rating=rating / n)
        )
    off = sum(b.ratings * abs(b.mean_predicted - b.mean_rating) for b in bins)
    count = sum(b.ratings for b in bins)
    by_user, by_item = (_grouped(cells, f"{side}_bucket") for side in ("user", "item"))
    return RatingFigures(
        overall=_errors(cells),
        by_user_ratings={name: _errors(by_user.get(name, [])) for name, _ in BUCKETS},
        by_item_ratings={name: _errors(by_item.get(name, [])) for name, _ in BUCKETS},
        calibration=tuple(bins),
        calibration_error=off / count if count else None,
    )


def _grouped(cells: Iterable[Mapping[str, object]], name: str) -> dict:
    groups: dict = {}
    for cell in cells:
        groups.setdefault(cell[name], []).append(cell)
    return groups


def _total(cells: Iterable[Mapping], name: str) -> float:
    return math.fsum(cell[name] for cell in cells)


def _errors(cells: Sequence[Mapping]) -> Errors:
    n = _total(cells, "ratings")
    if not n:
        return Errors(ratings=0, rmse=None, mae=None, r2=None)
    squared = _total(cells, "squared_error") / n
    variance = _total(cells, "squared_rating") / n - (_total(cells, "rating") / n) ** 2
    return Errors(
        ratings=int(n),
        rmse=math.sqrt(squared),
        mae=_total(cells, "absolute_error") / n,
        r2=1.0 - squared / variance if variance > 1e-12 else None,
    )


def gini(exposures: Mapping[int, int]) -> float | None:
    """Gini coefficient of how often each item is shown; None if nothing is shown.

    Args:
        exposures: times shown -> number of items shown so often, those never shown included. So it takes as many
            numbers as there are different counts, not as there are items.

    """
    items = sum(exposures.values())
    shown = sum(times * count for times, count in exposures.items())
    if not shown:
        return None
    # With items in increasing order: sum of (2 place - items - 1) * times, over items * shown. Items of equal
    # counts stand in a row, and what counts is the sum of their places.
    below = weighted = 0
    for times, count in sorted(exposures.items()):
        places = count * below + count * (count + 1) // 2
        weighted += times * (2 * places - count * (items + 1))
        below += count
    return weighted / (items * shown)
