"""Whether a model's test figures are better than they could be without a leak.

People do not rate the same thing the same way twice. Amatriain, Pujol and Oliver ("I like it... I like it not:
Evaluating user ratings noise in recommender systems", UMAP 2009) had 118 people rate 100 movies three times on a scale
of 5: two ratings of a movie by the same person differ by an RMSE of 0.557 or more, whatever the two trials, and the
test-retest reliability, the share of the variance that is no such noise, is 0.924. Two noisy ratings differ by the
noise of both, so that of one has an sd of 0.557 / sqrt(2) = 0.394: a tenth of that scale's width of 4, which is 0.886
on the scale from 1 to 10. No prediction from other ratings can be closer to a rating than its noise, so an RMSE below
0.886, or an R2 above 0.924, asks for an explanation. Of ratings with the sd of the 2023 dump (1.66) that noise leaves
1 - 0.886^2 / 1.66^2 = 0.72 of the variance to explain. That noise grows with the width of a scale is an assumption.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from widedeep.schema.rating_scale import RatingScale

RE_RATING_RMSE = 0.557  # Amatriain et al.: the least of all pairs of trials, 1-5 scale
RE_RATING_WIDTH = 4.0
RELIABILITY = 0.924
NOISE_SHARE = RE_RATING_RMSE / math.sqrt(2) / RE_RATING_WIDTH  # sd of one rating's noise over a scale's width
SIGMAS = 3.0  # of luck allowed
# Squared errors of ratings spread about 1.4 times as much as their mean (kurtosis 3, that of a normal distribution).
SQUARED_ERROR_SPREAD = math.sqrt(2.0)


class Suspicion(NamedTuple):
    """A sign that a figure is too good."""

    kind: str  # ceiling or leaky_columns
    why: str


def noise_rmse(scale: RatingScale) -> float:
    """The RMSE that the noise of people's own ratings alone leaves, on a scale."""
    return NOISE_SHARE * scale.span


def r2_ceiling(sd: float, noise: float) -> float:
    """The highest R2 without a leak for ratings of this sd; `noise` is the noise's sd if it is known."""
    return min(RELIABILITY, 1 - (noise / sd) ** 2) if sd > 0 else math.nan


def suspicion(
    test: Mapping[str, float],
    noise: float,
    leaky_columns: Sequence[str] = (),
) -> tuple[Suspicion, ...]:
    """Why test figures are not to be believed; empty if there is nothing against them.

    Args:
        test: `rmse`, `r2` and `ratings` (their number) on the test split, in the ratings' own unit.
        leaky_columns: columns of the dump, computed from test ratings too, that the model was given.
        noise: sd of the ratings' noise if it is known (`rmse_floor` of a generated dump's planted.json).

    """
    found = []
    if leaky_columns:
        why = f"it was given {', '.join(leaky_columns)}: computed from all ratings, those of the test split included"
        found.append(Suspicion("leaky_columns", why))
    rmse, r2 = test["rmse"], test["r2"]
    # R2 ties the variance of the ratings to the error; a model may be a little luckier than the noise.
    lucky = 1 - SIGMAS * SQUARED_ERROR_SPREAD / 2 / math.sqrt(max(test["ratings"], 1))
    noise = noise * max(lucky, 0.0)
    ceiling = r2_ceiling(rmse / math.sqrt(1 - r2), noise) if r2 < 1 and rmse > 0 else RELIABILITY
    if r2 > ceiling:
        why = (
            f"its R2 of {r2:.3f} on test ratings is above {ceiling:.3f}, what the noise of people's own ratings leaves "
            "(Amatriain et al. 2009)"
        )
        found.append(Suspicion("ceiling", why))
    return tuple(found)
