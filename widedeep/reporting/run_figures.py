"""Draw the figures of a training: its curves, how well ratings are calibrated, and the map of the items."""

from collections import Counter
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from widedeep.reporting.figures import BLUE, EDGE, GREEN, HEIGHT, ORANGE, PINK, label
from widedeep.schema.evaluation import CalibrationBin
from widedeep.schema.rating_scale import RatingScale
from widedeep.schema.run_report import ItemMap

# Groups are told apart by form, too. The last one is for all others.
GROUP_STYLES = (
    (BLUE, "circle"),
    (ORANGE, "square"),
    (GREEN, "diamond"),
    (PINK, "triangle-up"),
    ("#8f77d1", "cross"),
    ("#a8862b", "x"),
    ("#2f93a3", "star"),
    (EDGE, "circle-open"),
)
OTHERS = "other"
TITLE_LENGTH = 60  # characters of a title on hover
MAP_HEIGHT = 560
ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def epoch_lines(epochs: Sequence[int], lines: Mapping[str, Sequence[float | None]], best: int, axis: str) -> go.Figure:
    """Draw a line of each metric over the epochs, and a vertical line at the best epoch."""
    figure = go.Figure()
    for (name, values), (color, dash) in zip(lines.items(), ((BLUE, "solid"), (ORANGE, "dash")), strict=False):
        hover = f"epoch %{{x}}, {name}: %{{y:.4f}}<extra></extra>"
        line = go.Scatter(x=list(epochs), y=list(values), mode="lines+markers", name=name, hovertemplate=hover)
        figure.add_trace(line.update(line={"color": color, "width": 2.5, "dash": dash}, marker={"size": 6}))
    figure.add_vline(x=best, line_dash="dot", line_color=EDGE, line_width=1.5)
    # nticks alone would put ticks between epochs
    figure.update_xaxes(title="epoch", showgrid=False, tickformat="d", dtick=max(1, -(-len(epochs) // 8)))
    figure.update_yaxes(title=axis, nticks=6)
    return figure.update_layout(height=HEIGHT, legend=ABOVE, showlegend=True)


def calibration(bins: Sequence[CalibrationBin], scale: RatingScale) -> go.Figure:
    """Draw the mean rating over the mean predicted rating of each bin; markers have areas by the bins' ratings."""
    most = max((part.ratings for part in bins), default=1)
    hover = "predicted %{x:.2f}, rated %{y:.2f} (%{customdata:,} ratings)<extra></extra>"
    figure = go.Figure(
        go.Scatter(
            x=[part.mean_predicted for part in bins],
            y=[part.mean_rating for part in bins],
            customdata=[part.ratings for part in bins],
            mode="lines+markers",
            name="the model",
            line={"color": BLUE, "width": 2},
            marker={"size": [6 + 16 * (part.ratings / most) ** 0.5 for part in bins], "color": BLUE},
            hovertemplate=hover,
        )
    )
    ends = [scale.lowest, scale.highest]
    equal = {"color": ORANGE, "width": 1.5, "dash": "dot"}
    figure.add_scatter(x=ends, y=ends, mode="lines", name="as predicted", line=equal, hoverinfo="skip")
    figure.update_xaxes(title="mean predicted rating", nticks=8)
    figure.update_yaxes(title="mean rating", nticks=8)
    return figure.update_layout(height=HEIGHT, legend=ABOVE)


def item_map(found: ItemMap) -> go.Figure:
    """Draw the items as points, with a form and a color for each of the most frequent groups, and titles on hover."""
    figure = go.Figure()
    groups = shown_groups(found)
    styles = dict(zip(groups, GROUP_STYLES, strict=False)) | {OTHERS: GROUP_STYLES[-1]}
    for group, (color, symbol) in styles.items():
        items = [item for item in found.items if (item.group if item.group in groups else OTHERS) == group]
        if items:
            figure.add_scatter(
                x=[item.x for item in items],
                y=[item.y for item in items],
                text=[label(item.title, TITLE_LENGTH) for item in items],
                customdata=[[label(item.group), item.train_ratings] for item in items],
                mode="markers",
                name=label(group),
                marker={"color": color, "symbol": symbol, "size": 6, "opacity": 0.9},
                hovertemplate="%{text}<br>%{customdata[0]}, %{customdata[1]:,} ratings<extra></extra>",
            )
    axis = {"zeroline": False, "showticklabels": False}
    for update, name, share in zip((figure.update_xaxes, figure.update_yaxes), "12", found.variance, strict=True):
        update(title=f"component {name} ({share:.0%} of the variance)", **axis)
    grouped = found.grouped_by is not None
    return figure.update_layout(height=MAP_HEIGHT, legend=ABOVE, showlegend=grouped)


def shown_groups(found: ItemMap) -> list[str | None]:
    """Return the most frequent groups of a map, as many as have a style of their own."""
    counts = Counter(item.group for item in found.items if item.group is not None)
    return [group for group, _ in counts.most_common(len(GROUP_STYLES) - 1)]
