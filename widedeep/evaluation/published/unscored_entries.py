"""RMSE 2.79 and R2 0.49: entries without a score as ratings of 0."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.evaluation.published.common import (
    OFFICIAL_HISTOGRAM,
    PUBLISHED,
    SEED,
    Ints,
    bias_predictions,
    draw_test_rows,
    histogram_mean_sd,
    r2,
    rmse,
    user_and_item_index,
)

# The two parameters of a Beta distribution sum to this: some people score all they have seen, some next to nothing.
HABIT = 1.0
# Which entries have no score; see `unscored_entries`.
UNSCORED_KINDS = ("list_lengths", "share_of_the_published")


def mixed_sd(share: float, mean: float, sd: float) -> float:
    """Standard deviation of ratings of which a share is 0 and the rest has this mean and sd."""
    return math.sqrt((1 - share) * sd**2 + share * (1 - share) * mean**2)


def shares_with_sd(wanted: float, mean: float, sd: float) -> tuple[float, ...]:
    """The shares of zeros that give ratings of this mean and sd the wanted sd; none, one or two."""
    # (1 - u) sd^2 + u (1 - u) mean^2 = wanted^2
    roots = np.roots([-(mean**2), mean**2 - sd**2, sd**2 - wanted**2])
    return tuple(sorted(float(root.real) for root in roots if abs(root.imag) < 1e-12 and 0 <= root.real < 1))


def add_unscored(user: Ints, item: Ints, wanted: Ints, seed: int = SEED) -> tuple[Ints, Ints]:
    """Draw entries without a score: the wanted number per user, among the anime they did not rate, by popularity.

    Args:
        user: (n,) user index of each rating.
        item: (n,) item index of each rating.
        wanted: (users,) number of entries of each user.
        seed: seed of the draw.

    Returns:
        user and item, (m,) each; fewer than wanted where a user has rated almost everything.

    """
    rng, items = np.random.default_rng(seed), int(item.max()) + 1
    taken = np.sort(user * items + item)
    added, short = np.empty(0, np.int64), wanted.astype(np.int64)
    for _ in range(20):
        drawn = np.repeat(np.arange(len(short)), short) * items + item[rng.integers(0, len(item), short.sum())]
        drawn = np.unique(drawn)
        drawn = drawn[~_contains(taken, drawn)]
        added, taken = np.concatenate([added, drawn]), np.sort(np.concatenate([taken, drawn]))
        short = np.maximum(wanted - np.bincount(added // items, minlength=len(wanted)), 0)
        if not short.any():
            break
    return added // items, added % items


def _contains(ordered: Ints, values: Ints) -> NDArray[np.bool_]:
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[place] == values


def with_zeros(ratings: pd.DataFrame) -> dict[str, float]:
    """Errors of biases when entries without a score are ratings of 0: on all entries, and on those with a score.

    Args:
        ratings: user_id, anime_id, rating; 0 or less is no score.

    """
    user, item = user_and_item_index(ratings)
    rating = np.maximum(ratings["rating"].to_numpy(np.float64), 0)
    test, scored = draw_test_rows(len(rating)), rating > 0
    predicted = np.clip(bias_predictions(user, item, rating, test), 0, 10)
    alone = np.flatnonzero(scored)
    honest = np.clip(bias_predictions(user[alone], item[alone], rating[alone], test[alone]), 1, 10)[test[alone]]
    both, truth = test & scored, rating[test & scored]
    share, mean = float(1 - scored.mean()), float(rating[scored].mean())
    return {
        "unscored_share": share,
        "sd": float(rating.std()),
        "sd_by_formula": mixed_sd(share, mean, float(rating[scored].std())),
        "variance_that_is_scored_or_not": share * (1 - share) * mean**2 / float(rating.var()),
        "rmse": rmse(predicted[test], rating[test]),
        "r2": r2(predicted[test], rating[test]),
        "rmse_on_the_scored": rmse(predicted[both], truth),
        "r2_on_the_scored": r2(predicted[both], truth),
        "rmse_fitted_on_the_scored": rmse(honest, truth),
        "r2_fitted_on_the_scored": r2(honest, truth),
    }


def implied() -> tuple[float, tuple[float, ...]]:
    """The sd of the labels that RMSE 2.79 and R2 0.49 imply, and the shares of zeros that give real ratings that sd."""
    sd = PUBLISHED["unscored_rmse"] / math.sqrt(1 - PUBLISHED["unscored_r2"])
    return sd, shares_with_sd(sd, *histogram_mean_sd(OFFICIAL_HISTOGRAM))


def unscored_entries(ratings: pd.DataFrame, users: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Entries without a score to add to a dump's ratings; their anime are drawn by popularity.

    Args:
        ratings: user_id, anime_id, rating; all with a score.
        users: `Mal ID` and `Total Entries`.
        kind: `list_lengths`: for each user, the entries of their list beyond their ratings; `share_of_the_published`:
            as many as the published results imply, unevenly over users.

    Returns:
        user_id, anime_id, rating (0).

    """
    user, raters = pd.factorize(ratings["user_id"])
    item, anime = pd.factorize(ratings["anime_id"])
    user, item, share = user.astype(np.int64), item.astype(np.int64), implied()[1][0]
    count = np.bincount(user)
    if kind == "list_lengths":
        entries: Any = users.drop_duplicates("Mal ID").set_index("Mal ID")["Total Entries"].reindex(raters)
        wanted = np.nan_to_num(entries.to_numpy(np.float64) - count).clip(0).astype(np.int64)
    else:
        habit = np.random.default_rng(SEED).beta(HABIT * share, HABIT * (1 - share), len(count)).clip(0, 0.9)
        wanted = np.round(count * habit / (1 - habit)).astype(np.int64)
        # Habits decide how unscored entries are spread over users; the total must be the wanted share.
        wanted = np.round(wanted * share / (1 - share) * count.sum() / wanted.sum()).astype(np.int64)
    of_user, of_item = add_unscored(user, item, wanted)
    rating = np.zeros(len(of_user), ratings["rating"].to_numpy().dtype)
    return pd.DataFrame({"user_id": raters[of_user], "anime_id": anime[of_item], "rating": rating})


def has_unscored(ratings: pd.DataFrame) -> bool:
    """Whether the dump itself has entries without a score (0 or -1)."""
    return bool((ratings["rating"] <= 0).any())


def unscored_as_zero(ratings: pd.DataFrame, users: pd.DataFrame) -> dict[str, Any]:
    """Errors of biases where entries without a score count as ratings of 0, which RMSE 2.79 and R2 0.49 suggest.

    The two numbers determine the sd of that data; with the mean and sd of real ratings, they determine the share of
    entries without a score. A dump's own entries without a score are used if it has any; otherwise they are generated,
    and how they fall on users and anime is a choice, so coming near the two numbers is no evidence.

    Args:
        ratings: user_id, anime_id, rating.
        users: `Mal ID` and `Total Entries`.

    """
    sd, shares = implied()
    results: dict[str, Any] = {
        "published": {"rmse": PUBLISHED["unscored_rmse"], "r2": PUBLISHED["unscored_r2"]},
        "sd_of_its_labels": sd,
        "unscored_shares_that_give_it": list(shares),
    }
    inferred = "the share follows from the published figures if its ratings were distributed like the official dump's"
    if has_unscored(ratings):
        return {**results, "own_list": with_zeros(ratings), "inferred": inferred}
    for kind in UNSCORED_KINDS:
        added = unscored_entries(ratings, users, kind)
        results[kind] = with_zeros(pd.concat([ratings, added], ignore_index=True))
    return results | {"inferred": f"{inferred}; which anime have no score, and in the second list who leaves how many"}
