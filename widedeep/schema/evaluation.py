"""The records of `evaluation.json` and `against_NAME.json`: how well systems predict ratings and rank items.

A system predicts ratings, recommends lists, or both. An item is relevant to a user whose test rating of it is
`liked` or more. Lists are judged for the users with a relevant item; the candidates are all items that are not among
the user's train and valid ratings.
"""

from typing import Literal

from widedeep.schema.records import Record, parse_record

EVALUATION_FILE = "evaluation.json"
TOP_LENGTH = 10  # the metrics "at 10" look at the first items of a list
LIST_LENGTH = 20  # length of evaluated lists; recall looks at all of it
# Training ratings of a user or an item: (name, most of them).
BUCKETS = (("0", 0), ("1-5", 5), ("6-20", 20), ("21-100", 100), (">100", None))


class ErrorMetrics(Record):
    """Errors of predictions clipped to the scale of ratings; None where there is nothing to divide by."""

    ratings: int
    rmse: float | None
    mae: float | None
    r2: float | None  # share of the ratings' variance that is explained


class CalibrationBin(Record):
    """Ratings predicted to lie in [low, high); the last bin includes its upper end."""

    low: float
    high: float
    ratings: int
    mean_predicted: float
    mean_rating: float


class RatingMetrics(Record):
    """Quality of predicted ratings."""

    overall: ErrorMetrics
    by_user_ratings: dict[str, ErrorMetrics]  # training ratings of the user -> errors; see BUCKETS
    by_item_ratings: dict[str, ErrorMetrics]  # training ratings of the item -> errors
    calibration: tuple[CalibrationBin, ...]  # without the bins that have no ratings
    calibration_error: float | None  # mean |mean predicted - mean rating| of the bins, weighted by their ratings


class MeanOverUsers(Record):
    """A mean over users and its standard error, sd / sqrt(users); None if there are too few users."""

    mean: float | None
    standard_error: float | None
    users: int


class RankingMetrics(Record):
    """Quality of lists; widedeep/evaluation/ranking_metrics.py has the formulas.

    A user without a list counts as one whose list has no relevant item. Novelty and diversity describe lists, so they
    are means over the users who have one.
    """

    users: int  # with a relevant test rating
    users_with_list: int
    longest_list: int  # at most LIST_LENGTH
    ndcg_at_10: MeanOverUsers
    recall_at_20: MeanOverUsers
    map_at_10: MeanOverUsers
    mrr_at_10: MeanOverUsers
    hit_rate_at_10: MeanOverUsers
    coverage_at_10: float  # share of all items that are in some user's first 10
    novelty_at_10: MeanOverUsers  # bits
    gini_at_10: float | None  # of how often each item is listed: 0 all equally often, near 1 always the same few
    diversity_at_10: MeanOverUsers  # of genres; defined for nobody where the data has no genres


class Evaluation(Record):
    """`evaluation.json`, written after all that it describes."""

    format_version: Literal[2] = 2
    system: str
    seed: int | None  # of the prepared data: which split it is; None if its settings do not say
    data_digest: str  # of the prepared directory
    inputs: dict[str, str]  # recommendations, predictions -> sha256 of their manifests
    liked: float
    rating: RatingMetrics | None
    ranking: RankingMetrics | None


class Difference(Record):
    """System minus baseline, with its 95 % confidence interval and two-sided p-value.

    p_value is None where it is undefined: fewer than two users, or all differences equal.
    """

    system: float
    baseline: float
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    users: int


class SystemDifferences(Record):
    """How one system differs from the baseline; None where one of the two has no such metric."""

    ndcg_at_10: Difference | None
    rmse: Difference | None


class Comparison(Record):
    """`against_NAME.json`: all systems compared with one of them."""

    against: str
    data_digest: str
    systems: dict[str, SystemDifferences]


def parse_evaluation(text: str, file: str) -> Evaluation:
    """Read an evaluation.json.

    Args:
        text: its content.
        file: its name, for the message.

    Raises:
        InputError: it was written by another release, or is not readable as an evaluation.

    """
    return parse_record(Evaluation, text, file, "jobs/evaluate.py")
