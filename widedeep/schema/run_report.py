"""The record of `report.json`: how a training went and how good its model is. report.html shows all of it."""

from typing import Literal

from widedeep.schema.evaluation import RatingMetrics
from widedeep.schema.rating_scale import RatingScale
from widedeep.schema.records import Record

REPORT_FILE, REPORT_PAGE = "report.json", "report.html"


class EpochResult(Record):
    """What an epoch reached; None where it was not measured or is undefined."""

    epoch: int  # from 1
    train_rmse: float | None  # mean over the epoch, as the model learnt
    train_loss: float | None  # of losses that learn a ranking
    valid_rmse: float | None
    valid_ndcg_at_10: float | None


class SystemResult(Record):
    """How good the model or a reference model is on the test split; None where it has no such metric."""

    name: str
    rmse: float | None
    mae: float | None
    r2: float | None
    ndcg_at_10: float | None
    recall_at_20: float | None
    coverage_at_10: float | None


class TimePart(Record):
    """A part of the time that the run took, on rank 0."""

    name: str
    seconds: float


class MappedItem(Record):
    """An item on the map."""

    item_id: int | str
    title: str
    group: str | None  # the most frequent one of its values; None: it states none
    train_ratings: int
    x: float
    y: float


class ItemMap(Record):
    """The most rated items in the plane of the two principal components of their unit vectors."""

    grouped_by: str | None  # multi-valued column of the items; None: the data has none
    variance: tuple[float, float]  # share of the variance of the vectors along x and along y
    items: tuple[MappedItem, ...]  # the most rated first


class RunReport(Record):
    """The content of report.json."""

    format_version: Literal[1] = 1
    run: str  # name of the run's directory
    model: str  # architecture
    dataset: str
    data_digest: str
    scale: RatingScale
    refit: bool  # whether the model has learnt from valid, too
    ratings: dict[str, int]  # split -> ratings
    best_epoch: int  # from 1
    ranks: int
    device: str
    samples_per_second: float  # ratings that all ranks trained on in a second
    epochs: tuple[EpochResult, ...]
    rating: RatingMetrics | None  # of test; None: the model predicts no ratings
    ranking_users: int  # users whose lists were judged; 0: none
    systems: tuple[SystemResult, ...]  # the model first
    item_map: ItemMap | None  # None: fewer than three items have training ratings
    time: tuple[TimePart, ...]
