"""Print evaluations as tables on stdout."""

from collections.abc import Callable, Mapping
from typing import Any

from widedeep.common.console import print_table
from widedeep.schema.evaluation import Comparison, Evaluation, RankingMetrics, RatingMetrics


def print_evaluations(evaluations: Mapping[str, Evaluation]) -> None:
    """Print the main metrics, a row per system, the best first."""
    rated = {name: e.rating for name, e in evaluations.items() if e.rating}
    ranked = {name: e.ranking for name, e in evaluations.items() if e.ranking}
    if rated:
        order = sorted(rated, key=lambda name: _or_infinity(rated[name].overall.rmse))
        _print("predicted ratings of the test split", RATING_COLUMNS, {name: rated[name] for name in order})
    if ranked:
        liked = next(e.liked for e in evaluations.values() if e.ranking)
        order = sorted(ranked, key=lambda name: -(ranked[name].ndcg_at_10.mean or 0.0))
        lists = {name: ranked[name] for name in order}
        _print(f"lists, judged by test ratings of {liked:g} or more (±: standard error)", ACCURACY_COLUMNS, lists)
        _print("what the lists contain", CHARACTER_COLUMNS, lists)


RATING_COLUMNS: dict[str, Callable[[RatingMetrics], float | None]] = {
    "RMSE": lambda m: m.overall.rmse,
    "MAE": lambda m: m.overall.mae,
    "R2": lambda m: m.overall.r2,
    "calibration error": lambda m: m.calibration_error,
}
ACCURACY_COLUMNS: dict[str, Callable[[RankingMetrics], float | None]] = {
    "NDCG@10": lambda m: m.ndcg_at_10.mean,
    "±": lambda m: m.ndcg_at_10.standard_error,
    "Recall@20": lambda m: m.recall_at_20.mean,
    "MAP@10": lambda m: m.map_at_10.mean,
    "MRR@10": lambda m: m.mrr_at_10.mean,
    "hits@10": lambda m: m.hit_rate_at_10.mean,
}
CHARACTER_COLUMNS: dict[str, Callable[[RankingMetrics], float | None]] = {
    "coverage": lambda m: m.coverage_at_10,
    "Gini": lambda m: m.gini_at_10,
    "novelty, bits": lambda m: m.novelty_at_10.mean,
    "diversity": lambda m: m.diversity_at_10.mean,
}


def _print(title: str, columns: Mapping[str, Callable[[Any], float | None]], metrics: Mapping[str, Any]) -> None:
    rows = [
        [name, *(_four_digits(column(of_system)) for column in columns.values())] for name, of_system in metrics.items()
    ]
    print_table(title, ["system", *columns], rows)


def print_comparison(comparison: Comparison) -> None:
    """Print the differences from one system, with their intervals and p-values."""
    rows = []
    for name, differences in comparison.systems.items():
        for metric, measured in (("NDCG@10", differences.ndcg_at_10), ("RMSE", differences.rmse)):
            if measured:
                numbers = (_four_digits(value, "+") for value in (measured.difference, measured.low, measured.high))
                rows.append([name, metric, *numbers, _p_value(measured.p_value)])
    title = f"compared with {comparison.against}, 95 % intervals over users"
    print_table(title, ["system", "metric", "difference", "from", "to", "p"], rows, text=("system", "metric"))


def _four_digits(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4f}"


def _p_value(value: float | None) -> str:
    if value is None:
        return ""
    return "<1e-99" if value < 1e-99 else f"{value:.2g}"


def _or_infinity(value: float | None) -> float:
    return float("inf") if value is None else value
