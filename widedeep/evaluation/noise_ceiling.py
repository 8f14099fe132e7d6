"""Whether test metrics are better than the noise of people's ratings allows without a leak; see docs/noise-floor.md."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from widedeep.schema.rating_scale import RatingScale

RE_RATING_RMSE = 0.557  # Amatriain et al.: the least of all pairs of trials, 1-5 scale
RE_RATING_WIDTH = 4.0
RELIABILITY = 0.924
NOISE_SHARE = RE_RATING_RMSE / math.sqrt(2) / RE_RATING_WIDTH  # sd of one rating's noise over a scale's width
SIGMAS = 3.0  # standard errors below the noise floor that chance explains
# Squared errors of ratings spread about 1.4 times as much as their mean (kurtosis 3, that of a normal distribution).
SQUARED_ERROR_SPREAD = math.sqrt(2.0)


class Suspicion(NamedTuple):
    """A sign that a metric is too good."""

    kind: str  # ceiling or leaky_columns
    why: str


def noise_rmse(scale: RatingScale) -> float:
    """The noise floor of a rating scale: the RMSE that is left by the noise of people's own ratings."""
    return NOISE_SHARE * scale.span


def r2_ceiling(sd: float, noise: float) -> float:
    """The highest R2 without a leak, for ratings of this sd and noise of sd `noise`."""
    return min(RELIABILITY, 1 - (noise / sd) ** 2) if sd > 0 else math.nan


def suspicion(
    test: Mapping[str, float],
    noise: float,
    leaky_columns: Sequence[str] = (),
) -> tuple[Suspicion, ...]:
    """Reasons to suspect a leak behind test metrics; empty if there are none.

    Args:
        test: `rmse`, `r2` and `ratings` (their number) on the test split, in the ratings' own unit.
        leaky_columns: columns of the dump, computed from test ratings too, that the model was given.
        noise: sd of the ratings' noise if it is known (`rmse_floor` of a generated dump's planted.json).

    """
    reasons = []
    if leaky_columns:
        why = f"it was given {', '.join(leaky_columns)}: computed from all ratings, those of the test split included"
        reasons.append(Suspicion("leaky_columns", why))
    rmse, r2 = test["rmse"], test["r2"]
    # R2 and RMSE give the variance of the ratings; by chance, a model may be a little below the noise floor.
    lucky = 1 - SIGMAS * SQUARED_ERROR_SPREAD / 2 / math.sqrt(max(test["ratings"], 1))
    noise = noise * max(lucky, 0.0)
    ceiling = r2_ceiling(rmse / math.sqrt(1 - r2), noise) if r2 < 1 and rmse > 0 else RELIABILITY
    if r2 > ceiling:
        why = (
            f"its R2 of {r2:.3f} on test ratings is above {ceiling:.3f}, what the noise of people's own ratings leaves "
            "(Amatriain et al. 2009)"
        )
        reasons.append(Suspicion("ceiling", why))
    return tuple(reasons)
