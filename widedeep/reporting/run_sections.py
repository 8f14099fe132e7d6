"""Put the page of a training together: the sections of report.html."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from markupsafe import Markup

from widedeep.reporting import figures, run_figures
from widedeep.reporting.page import render
from widedeep.reporting.panels import Page, Panel, Section, count, percent, several
from widedeep.reporting.run_report import METRICS, digits
from widedeep.schema.evaluation import LIST_LENGTH, TOP_LENGTH, ErrorMetrics
from widedeep.schema.run_report import EpochResult, RunReport, SystemResult

PAGE_MARK = Markup("<!doctype html><!-- widedeep report -->")


def report_html(report: RunReport) -> str:
    """Return the page of a training."""
    fitted = ", refit on train and valid" if report.refit else ""
    page = Page(
        mark=PAGE_MARK,
        title=f"A training: {report.run}",
        heading=f"Training {report.run}",
        source=f"{report.model} on {report.dataset}{fitted}; data {report.data_digest[:12]}",
        totals=totals(report),
        note=Markup(""),
        sections=run_sections(report),
    )
    return render(page)


def totals(report: RunReport) -> list[tuple[str, str]]:
    """Return the names and values at the top of the page."""
    model = report.systems[0]
    metrics = (("RMSE on test", model.rmse), ("NDCG@10", model.ndcg_at_10), ("Recall@20", model.recall_at_20))
    return [
        *((name, f"{value:.4f}") for name, value in metrics if value is not None),
        ("best epoch", f"{report.best_epoch} of {len(report.epochs)}"),
        *((f"ratings, {split}", count(number)) for split, number in report.ratings.items()),
        ("ratings a second", count(report.samples_per_second)),
        ("took", duration(sum(part.seconds for part in report.time))),
    ]


def duration(seconds: float) -> str:
    """7384.2 -> `2 h 3 min`, 95 -> `1 min 35 s`, 4.21 -> `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def run_sections(report: RunReport) -> list[Section]:
    """Return the sections that apply to the model, in the order of the page."""
    makers: tuple[Callable[[RunReport], Section | None], ...] = (
        curves_section,
        calibration_section,
        known_section,
        systems_section,
        map_section,
        time_section,
    )
    return [section for make in makers if (section := make(report)) is not None]


def curves_section(report: RunReport) -> Section:
    """Return the section with the metrics of each epoch."""
    measured: tuple[tuple[str, str, Mapping[str, Callable[[EpochResult], float | None]]], ...] = (
        ("RMSE by epoch", "RMSE", {"train": lambda e: e.train_rmse, "valid": lambda e: e.valid_rmse}),
        ("Loss by epoch", "loss", {"train": lambda e: e.train_loss}),
        ("NDCG@10 by epoch", "NDCG@10", {"valid": lambda e: e.valid_ndcg_at_10}),
    )
    panels = []
    for title, axis, lines in measured:
        values = {name: [value(epoch) for epoch in report.epochs] for name, value in lines.items()}
        values = {name: line for name, line in values.items() if any(value is not None for value in line)}
        if values:
            epochs = [epoch.epoch for epoch in report.epochs]
            table = pd.DataFrame({"epoch": epochs} | {name: [digits(v) for v in line] for name, line in values.items()})
            panels.append(Panel(title, table, run_figures.epoch_lines(epochs, values, report.best_epoch, axis)))
    text = (
        f"{several(len(report.epochs), 'epoch')}; the model is that of epoch {report.best_epoch}, at the dotted line. "
        "Metrics of train are means over an epoch, as the model learnt; those of valid are measured after it."
    )
    return Section("curves", "Learning curves", text, tuple(panels))


def calibration_section(report: RunReport) -> Section | None:
    """Return the section that compares predicted ratings with given ones; None if no ratings are predicted."""
    if report.rating is None or not report.rating.calibration:
        return None
    bins = report.rating.calibration
    text = (
        "Test ratings in bins of the rating that was predicted for them. If the model says 7, are the ratings 7 in the "
        f"mean? They are off by {report.rating.calibration_error:.3f} on average. Larger marks stand for more ratings."
    )
    rows = [(f"{b.low:g} to {b.high:g}", b.ratings, f"{b.mean_predicted:.3f}", f"{b.mean_rating:.3f}") for b in bins]
    table = pd.DataFrame(rows, columns=pd.Index(["predicted", "ratings", "mean predicted", "mean rating"]))
    figure = run_figures.calibration(bins, report.scale)
    return Section("calibration", "Calibration", text, (Panel("Ratings as predicted and as given", table, figure),))


def known_section(report: RunReport) -> Section | None:
    """Return the section on errors by how much is known; None if no ratings are predicted."""
    rating = report.rating
    if rating is None or rating.overall.rmse is None:
        return None
    text = (
        "The more training ratings a user or an item has, the more is known of them. The dotted line is the RMSE of "
        f"all {several(rating.overall.ratings, 'test rating')}, {rating.overall.rmse:.4f}."
    )
    panels = []
    for side, errors in (("user", rating.by_user_ratings), ("item", rating.by_item_ratings)):
        rows, table = f"training ratings of the {side}", _errors_table(errors)
        rmses = [error.rmse for error in errors.values()]
        figure = figures.means(list(errors), rmses, rating.overall.rmse, "RMSE", ".4f")
        panels.append(Panel(f"RMSE by {rows}", table, figure))
        counts = [error.ratings for error in errors.values()]
        panels.append(Panel(f"Test ratings by {rows}", table, figures.bars(list(errors), counts, "test ratings")))
    return Section("known", "Errors by how much is known", text, tuple(panels))


def _errors_table(errors: Mapping[str, ErrorMetrics]) -> pd.DataFrame:
    rows = [(name, e.ratings, digits(e.rmse), digits(e.mae), digits(e.r2)) for name, e in errors.items()]
    return pd.DataFrame(rows, columns=pd.Index(["training ratings", "test ratings", "RMSE", "MAE", "R2"]))


def systems_section(report: RunReport) -> Section:
    """Return the section that compares the model with the reference models."""
    rows = [(system.name, *(digits(getattr(system, metric)) for metric in METRICS)) for system in report.systems]
    table = pd.DataFrame(rows, columns=pd.Index(["", *METRICS.values()]))
    panels = [Panel("All metrics", table)]
    rated = [system for system in report.systems if system.rmse is not None]
    text = "The test split has ratings that neither the model nor its features have seen. "
    if rated:
        text += "A lower RMSE is better. "
        panels.append(_system_panel("RMSE", rated, [s.rmse or 0.0 for s in rated], figures.ORANGE))
    if report.ranking_users:
        text += (
            f"Lists of items that a user has not rated, of {several(report.ranking_users, 'user')} with a liked test "
            f"rating: NDCG@{TOP_LENGTH} and Recall@{LIST_LENGTH} are higher for better lists; coverage is the share of "
            "all items that are in somebody's list."
        )
        ranked = [system for system in report.systems if system.ndcg_at_10 is not None]
        panels.append(_system_panel("NDCG@10", ranked, [s.ndcg_at_10 or 0.0 for s in ranked], figures.BLUE))
        panels.append(_system_panel("Recall@20", ranked, [s.recall_at_20 or 0.0 for s in ranked], figures.GREEN))
    return Section("systems", "Beside the reference models", text, tuple(panels))


def _system_panel(metric: str, systems: Sequence[SystemResult], values: Sequence[float], color: str) -> Panel:
    names = [system.name for system in systems]
    table = pd.DataFrame({"": names, metric: [digits(value) for value in values]})
    return Panel(f"{metric} on test", table, figures.bars(names, values, metric, color, ".4f"))


def map_section(report: RunReport) -> Section | None:
    """Return the section with the map of the items; None if there is no map."""
    found = report.item_map
    if found is None:
        return None
    text = (
        f"The {count(len(found.items))} items with most training ratings. Items that the model takes for alike, as "
        "widedeep similar shows them, are near each other, as far as two dimensions can tell: these hold "
        f"{percent(sum(found.variance))} of the variance of the vectors."
    )
    if found.grouped_by:
        text += f" An item has the color and form of its most frequent value of {found.grouped_by}."
    rows = [(i.title, i.item_id, i.group or figures.NOT_STATED, i.train_ratings, i.x, i.y) for i in found.items]
    group = found.grouped_by or "group"
    table = pd.DataFrame(rows, columns=pd.Index(["title", "id", group, "training ratings", "x", "y"]))
    table["id"] = table["id"].map(str)
    return Section("map", "Map of the items", text, (Panel("Items", table, run_figures.item_map(found)),))


def time_section(report: RunReport) -> Section:
    """Return the section on what the time was spent on."""
    names, seconds = [part.name for part in report.time], [part.seconds for part in report.time]
    total = sum(seconds)
    table = pd.DataFrame(
        {
            "": names,
            "seconds": [f"{value:.2f}" for value in seconds],
            "share": [percent(value / total) if total else "" for value in seconds],
        }
    )
    text = (
        f"{duration(total)} on {several(report.ranks, 'rank')} ({report.device}), by the clock of rank 0. A run that "
        "was resumed counts all its parts; starting the program and reading the data are not in it."
    )
    panel = Panel("Seconds", table, figures.bars(names, seconds, "seconds", form=",.1f"))
    return Section("time", "Where the time went", text, (panel,))
