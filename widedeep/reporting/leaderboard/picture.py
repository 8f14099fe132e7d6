"""The picture of the leaderboard: rating error against ranking quality."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt


def draw_leaderboard(entries: list[dict[str, Any]], file: Path) -> None:
    """Draw each system as its number at (RMSE, NDCG@10); a system that only ranks is a horizontal line."""
    plt.rcParams["svg.hashsalt"] = "leaderboard"  # the same picture, the same bytes
    figure, axes = plt.subplots(figsize=(11, 6))
    colours = {"model": "tab:blue", "baseline": "tab:orange"}
    ranked = sorted((e for e in entries if e["ndcg_at_10"] is not None), key=lambda e: -e["ndcg_at_10"])
    for number, entry in enumerate(ranked, 1):
        colour, height = colours[entry["kind"]], entry["ndcg_at_10"]
        if entry["rmse"] is None:
            axes.axhline(height, color=colour, linewidth=0.8, linestyle=":", zorder=1)
            place, frame = (0.99, height), ("axes fraction", "data")
            axes.annotate(str(number), place, xycoords=frame, fontsize=8, ha="right", va="bottom", color=colour)
        else:
            mark = f"${number}$"
            axes.scatter(entry["rmse"], height, color=colour, marker=mark, s=60 if number < 10 else 110, zorder=3)
        axes.text(1.02, 1 - 0.045 * number, f"{number:2d}  {entry['label']}", transform=axes.transAxes, color=colour)
    axes.set_yscale("log")  # most models crowd near the bottom
    axes.set_xlabel("RMSE of test ratings (left is better)")
    axes.set_ylabel("NDCG@10 of lists (up is better)")
    axes.set_title("Models (blue) and baselines (orange); dotted lines rank without predicting ratings", fontsize=10)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)
