"""The scale that ratings seem to have."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

# (lowest, highest, step) of the scales that are in use, the narrow ones first.
SCALES = ((1, 5, 1), (1, 5, 0.5), (0.5, 5, 0.5), (1, 10, 1), (1, 10, 0.5), (0.5, 10, 0.5))
# A scale may leave out this share of the ratings: faulty rows.
OFF_THE_SCALE = 0.01
MOST_LEVELS = 201
# What may stand for "in the list, but without a score" beside ratings of at least 0.5.
MARKS = (0.0, -1.0)


def guess_scale(ratings: Sequence[float]) -> dict[str, Any] | None:
    """Return lowest, highest, step, liked and unscored as a description has them; None if ratings have no scale.

    A 0 or a -1 below a scale in use stands for an entry without a score.
    """
    scored = [rating for rating in ratings if rating not in MARKS]
    marks = [mark for mark in MARKS if len(scored) < len(ratings) and mark in ratings]
    for scale in SCALES:
        if len(set(scored)) > 1 and sum(not _is_on(rating, *scale) for rating in scored) <= OFF_THE_SCALE * len(scored):
            return _described(*scale) | ({"unscored": marks} if marks else {})
    return _seen(ratings)


def _is_on(rating: float, lowest: float, highest: float, step: float) -> bool:
    steps = (rating - lowest) / step
    return lowest <= rating <= highest and abs(steps - round(steps)) < 1e-6


def _seen(ratings: Sequence[float]) -> dict[str, Any] | None:
    """The scale from the lowest to the highest rating, by steps that lead to all."""
    levels, digits = sorted(set(ratings)), _decimals(ratings)
    if len(levels) < 2 or digits is None:
        return None
    step = smallest_step(levels)
    if not all(_is_on(level, levels[0], levels[-1], step) for level in levels):
        step = 10.0**-digits
    # Counts, such as of plays, have no highest.
    if digits == 0 and (levels[-1] - levels[0]) / step >= MOST_LEVELS:
        return None
    return _described(levels[0], levels[-1], step)


def _decimals(numbers: Iterable[float]) -> int | None:
    """The digits that the numbers have behind the point, None if they are more than four."""
    values = list(numbers)
    return next((n for n in range(5) if all(abs(value - round(value, n)) < 1e-9 for value in values)), None)


def smallest_step(levels: Sequence[float]) -> float:
    """The smallest distance of two neighbours."""
    return round(min(above - below for below, above in pairwise(levels)), 9)


def _described(lowest: float, highest: float, step: float) -> dict[str, Any]:
    """The scale, with the upper quarter liked: 4 of 1 to 5, 8 of 1 to 10."""
    steps = math.ceil(round(0.75 * (highest - lowest) / step, 6))
    scale = {"lowest": lowest, "highest": highest, "step": step, "liked": lowest + steps * step}
    return {name: round(float(value), 6) for name, value in scale.items()}
