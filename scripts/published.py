"""Three published figures, worked out again on a dump, each beside the honest one.

python scripts/published.py --input data/raw --json published.json

With --unscored DIR it also writes the dump with the entries without a score that the last of the three figures implies,
as ratings of 0: what conf/prepare/genre_hybrid_published.toml takes in.

The notebooks are not available. What is known of them is in the comments of each function: everything that is only
inferred, from their figures or from what is usual, is under `inferred` in the output.
"""

import argparse
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import Ridge

RATINGS, USERS, ANIME = "users-score-2023.csv", "users-details-2023.csv", "anime-dataset-2023.csv"
# Ratings 1 to 10 of the official dump.
OFFICIAL = (98_069, 132_092, 233_675, 562_822, 1_379_480, 2_766_482, 5_452_152, 6_060_484, 4_429_914, 3_210_021)
PUBLISHED = {"label_rmse": 0.0729, "rmse": 1.70, "unscored_rmse": 2.79, "unscored_r2": 0.49}
SAMPLE, SEED, TEST_SHARE = 100_000, 42, 0.2
USER_PRIOR, ITEM_PRIOR, SWEEPS = 5.0, 3.0, 5
# Two parameters of a Beta distribution sum to this: some people score all they have seen, some next to nothing.
HABIT = 1.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def rmse(predicted: Floats | float, truth: Floats) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def r2(predicted: Floats, truth: Floats) -> float:
    """Share of the variance explained."""
    return float(1 - np.mean((predicted - truth) ** 2) / truth.var())


def held_out(rows: int, seed: int = SEED) -> NDArray[np.bool_]:
    """(rows,) which rows are the test fifth."""
    return np.random.default_rng(seed).random(rows) < TEST_SHARE


def bias_predictions(user: Ints, item: Ints, rating: Floats, test: NDArray[np.bool_]) -> Floats:
    """Mean + damped user bias + damped item bias, fitted on the other rows; (n,) for all of them, not clipped."""
    fitted, mean = ~test, float(rating[~test].mean())
    of_user, of_item = np.zeros(user.max() + 1), np.zeros(item.max() + 1)
    for _ in range(SWEEPS):
        for effect, key, prior in ((of_item, item, ITEM_PRIOR), (of_user, user, USER_PRIOR)):
            effect[:] = 0
            rest = (rating - mean - of_user[user] - of_item[item])[fitted]
            count = np.bincount(key[fitted], minlength=len(effect))
            effect[:] = np.bincount(key[fitted], rest, len(effect)) / (count + prior)
    return mean + of_user[user] + of_item[item]


# --- RMSE 0.0729 ---------------------------------------------------------------------------------


def score_as_label(ratings: pd.DataFrame, anime: pd.DataFrame) -> dict[str, Any]:
    """RMSE 0.0729: the label was the anime's own mean Score, scaled to 0-1, and Score was among the features.

    Known: 100,000 rows with seed 42, 80/20; Score, Popularity, Rank and genres as inputs. Such a label is the same for
    all ratings of an anime, so Score tells it exactly, and so does the anime's id once it was seen in training.

    Args:
        ratings: user_id, anime_id, rating.
        anime: anime_id, Score, Popularity, Rank (numbers, NaN where unknown), Genres.

    """
    rows: Any = ratings[ratings["rating"] > 0].merge(anime.dropna(subset=["Score"]), on="anime_id", how="inner")
    rows = rows.sample(min(SAMPLE, len(rows)), random_state=SEED).reset_index(drop=True)
    test = held_out(len(rows))
    score = rows["Score"].to_numpy(np.float64)
    label = (score - score.min()) / (score.max() - score.min())
    genres = rows["Genres"].fillna("").str.get_dummies(", ").to_numpy(np.float64)
    popularity, rank, scaled = (
        _scaled(rows[name].to_numpy(np.float64))[:, None] for name in ("Popularity", "Rank", "Score")
    )
    inputs = {
        "genres_popularity": np.hstack([genres, popularity]),
        "genres_popularity_rank": np.hstack([genres, popularity, rank]),
        "genres_popularity_rank_score": np.hstack([genres, popularity, rank, scaled]),
    }
    linear = {name: _linear_rmse(x, label, test) for name, x in inputs.items()}
    seen = pd.Series(label[~test]).groupby(rows["anime_id"].to_numpy()[~test]).first()
    looked_up = rows["anime_id"][test].map(seen).fillna(label[~test].mean()).to_numpy(np.float64)
    user, item = (pd.factorize(rows[name])[0].astype(np.int64) for name in ("user_id", "anime_id"))
    rating = rows["rating"].to_numpy(np.float64)
    honest = np.clip(bias_predictions(user, item, rating, test), 1, 10)
    return {
        "published": PUBLISHED["label_rmse"],
        "label_rmse": {"constant": rmse(label[~test].mean(), label[test]), **linear},
        "label_rmse_by_anime_id_alone": rmse(looked_up, label[test]),
        "published_r2_of_label": 1 - (PUBLISHED["label_rmse"] / float(label[test].std())) ** 2,
        "honest": {
            "what": "users' ratings of the same test rows, by user and anime biases",
            "rmse": rmse(honest[test], rating[test]),
            "r2": r2(honest[test], rating[test]),
            "rmse_of_mean": rmse(float(rating[~test].mean()), rating[test]),
            # What the same error would read on a label squeezed to 0-1: small because the unit is.
            "rmse_if_scaled_to_0_1": rmse(honest[test], rating[test]) / 9,
        },
        "inferred": "the linear models stand for the notebook's; its own network, and how it filled unknown scores, "
        "are not known. 0.0729 is what genres and popularity reach without looking at Score",
    }


def _scaled(values: Floats) -> Floats:
    """(n,) to 0-1; what is unknown (NaN) to 1, behind all others."""
    low, high = np.nanmin(values), np.nanmax(values)
    return np.nan_to_num((values - low) / max(high - low, 1e-12), nan=1.0)


def _linear_rmse(x: Floats, label: Floats, test: NDArray[np.bool_]) -> float:
    """Test RMSE of a linear model."""
    return rmse(Ridge(1e-3).fit(x[~test], label[~test]).predict(x[test]), label[test])


# --- RMSE 1.70 -----------------------------------------------------------------------------------


def histogram_mean_sd(counts: tuple[int, ...]) -> tuple[float, float]:
    """Mean and sd of ratings 1, 2, … of which there are so many."""
    levels = np.arange(1, len(counts) + 1)
    mean = float(np.average(levels, weights=counts))
    return mean, math.sqrt(float(np.average((levels - mean) ** 2, weights=counts)))


def worse_than_the_mean(ratings: pd.DataFrame) -> dict[str, Any]:
    """RMSE 1.70 on ratings of the 2023 dump: predicting the mean has the ratings' sd for its RMSE.

    Args:
        ratings: user_id, anime_id, rating.

    """
    rated: Any = ratings[ratings["rating"] > 0]
    user, item = (pd.factorize(rated[name])[0].astype(np.int64) for name in ("user_id", "anime_id"))
    rating, test = rated["rating"].to_numpy(np.float64), held_out(len(rated))
    honest = np.clip(bias_predictions(user, item, rating, test), 1, 10)
    mean, sd = histogram_mean_sd(OFFICIAL)
    return {
        "published": PUBLISHED["rmse"],
        "official_dump": {"mean": mean, "rmse_of_mean": sd, "r2_of_published": 1 - (PUBLISHED["rmse"] / sd) ** 2},
        "this_dump": {
            "rmse_of_mean": rmse(float(rating[~test].mean()), rating[test]),
            "rmse_of_biases": rmse(honest[test], rating[test]),
            "r2_of_biases": r2(honest[test], rating[test]),
        },
        "inferred": "that 1.70 is on the 1-10 scale and on ratings distributed like the dump's",
    }


# --- RMSE 2.79, R2 0.49 --------------------------------------------------------------------------


def mixed_sd(share: float, mean: float, sd: float) -> float:
    """The sd of ratings of which this share is 0 and the rest has this mean and sd."""
    return math.sqrt((1 - share) * sd**2 + share * (1 - share) * mean**2)


def shares_with_sd(wanted: float, mean: float, sd: float) -> tuple[float, ...]:
    """The shares of zeros at which ratings of this mean and sd have the sd that is wanted; none, one or two."""
    # (1 - u) sd^2 + u (1 - u) mean^2 = wanted^2
    roots = np.roots([-(mean**2), mean**2 - sd**2, sd**2 - wanted**2])
    return tuple(sorted(float(root.real) for root in roots if abs(root.imag) < 1e-12 and 0 <= root.real < 1))


def add_unscored(user: Ints, item: Ints, wanted: Ints, seed: int = SEED) -> tuple[Ints, Ints]:
    """Entries without a score: of each user so many as wanted, of other anime than he rated, by popularity.

    Args:
        user: (n,) of the ratings.
        item: (n,) of the ratings.
        wanted: (users,) entries of each.
        seed: of the draw.

    Returns:
        user and item, (m,) each; fewer than wanted where a user has next to nothing left.

    """
    rng, items = np.random.default_rng(seed), int(item.max()) + 1
    taken = np.sort(user * items + item)
    found, short = np.empty(0, np.int64), wanted.astype(np.int64)
    for _ in range(20):
        drawn = np.repeat(np.arange(len(short)), short) * items + item[rng.integers(0, len(item), short.sum())]
        drawn = np.unique(drawn)
        drawn = drawn[~_contains(taken, drawn)]
        found, taken = np.concatenate([found, drawn]), np.sort(np.concatenate([taken, drawn]))
        short = np.maximum(wanted - np.bincount(found // items, minlength=len(wanted)), 0)
        if not short.any():
            break
    return found // items, found % items


def _contains(ordered: Ints, values: Ints) -> NDArray[np.bool_]:
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[place] == values


def with_zeros(ratings: pd.DataFrame) -> dict[str, float]:
    """What biases get when entries without a score are ratings of 0, and what is left of it where there is a score.

    Args:
        ratings: user_id, anime_id, rating; 0 or less is no score.

    """
    user, item = (pd.factorize(ratings[name])[0].astype(np.int64) for name in ("user_id", "anime_id"))
    rating = np.maximum(ratings["rating"].to_numpy(np.float64), 0)
    test, scored = held_out(len(rating)), rating > 0
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
    """The sd of the labels behind RMSE 2.79 and R2 0.49, and the shares of zeros that give real ratings that sd."""
    sd = PUBLISHED["unscored_rmse"] / math.sqrt(1 - PUBLISHED["unscored_r2"])
    return sd, shares_with_sd(sd, *histogram_mean_sd(OFFICIAL))


KINDS = ("list_lengths", "share_of_the_published")


def unscored_entries(ratings: pd.DataFrame, users: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Entries without a score that may have stood beside a dump's ratings; of which anime is drawn, by popularity.

    Args:
        ratings: user_id, anime_id, rating; all with a score.
        users: `Mal ID` and `Total Entries`.
        kind: `list_lengths`: of each user as many as his list is longer than his ratings; `share_of_the_published`:
            as many as the published figures imply, unevenly over users.

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
        # The habits decide who leaves how much unscored; together they must leave the share that is wanted.
        wanted = np.round(wanted * share / (1 - share) * count.sum() / wanted.sum()).astype(np.int64)
    of_user, of_item = add_unscored(user, item, wanted)
    rating = np.zeros(len(of_user), ratings["rating"].to_numpy().dtype)
    return pd.DataFrame({"user_id": raters[of_user], "anime_id": anime[of_item], "rating": rating})


def has_unscored(ratings: pd.DataFrame) -> bool:
    """Whether the dump has entries without a score (0 or -1) of its own."""
    return bool((ratings["rating"] <= 0).any())


def unscored_as_zero(ratings: pd.DataFrame, users: pd.DataFrame) -> dict[str, Any]:
    """RMSE 2.79 and R2 0.49: entries without a score counted as ratings of 0.

    Both figures together say what the sd of that data was, and with the mean and sd of real ratings how many of its
    entries had no score. A dump's own entries without a score are used if it has any.

    Args:
        ratings: user_id, anime_id, rating.
        users: `Mal ID` and `Total Entries`.

    """
    sd, shares = implied()
    found: dict[str, Any] = {
        "published": {"rmse": PUBLISHED["unscored_rmse"], "r2": PUBLISHED["unscored_r2"]},
        "sd_of_its_labels": sd,
        "unscored_shares_that_give_it": list(shares),
    }
    inferred = "the share follows from the published figures if its ratings were distributed like the official dump's"
    if has_unscored(ratings):
        return {**found, "own_list": with_zeros(ratings), "inferred": inferred}
    for kind in KINDS:
        added = unscored_entries(ratings, users, kind)
        found[kind] = with_zeros(pd.concat([ratings, added], ignore_index=True))
    return found | {"inferred": f"{inferred}; which anime have no score, and in the second list who leaves how many"}


def write_unscored(source: Path, target: Path, entries: pd.DataFrame) -> None:
    """Copy a dump, with entries without a score behind its ratings; the ratings file is the last to get its name.

    Args:
        source: directory of the dump.
        target: directory to write.
        entries: user_id, anime_id, rating.

    """
    target.mkdir(parents=True, exist_ok=True)
    for name in (USERS, ANIME):
        shutil.copyfile(source / name, target / name)
    columns = {
        "user_id": entries["user_id"],
        "Username": _texts(source / USERS, "Mal ID", "Username", entries["user_id"]),
        "anime_id": entries["anime_id"],
        "Anime Title": _texts(source / ANIME, "anime_id", "Name", entries["anime_id"]),
        "rating": entries["rating"],
    }
    header: Any = pd.read_csv(source / RATINGS, nrows=0).columns
    draft = target / f"{RATINGS}.draft"
    shutil.copyfile(source / RATINGS, draft)
    with draft.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.write(b"\n")
    pd.DataFrame(columns).reindex(columns=header).to_csv(draft, mode="a", header=False, index=False)
    draft.rename(target / RATINGS)


# --- reading and showing -------------------------------------------------------------------------


def read_dump(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ratings, users and anime of a dump: the columns needed here, whole ratings of -1 to 10 only."""
    columns = ["user_id", "anime_id", "rating"]
    ratings: Any = pd.read_csv(directory / RATINGS, usecols=columns.__contains__, on_bad_lines="skip")
    ratings = ratings[columns].apply(pd.to_numeric, errors="coerce").dropna()
    ratings = ratings[ratings["rating"].isin(range(-1, 11))].drop_duplicates(["user_id", "anime_id"])
    ratings = ratings.astype({"user_id": np.int64, "anime_id": np.int32, "rating": np.int8})
    users = pd.read_csv(directory / USERS, usecols=["Mal ID", "Total Entries"].__contains__)
    numbers = ["Score", "Popularity", "Rank"]
    anime: Any = pd.read_csv(directory / ANIME, usecols=["anime_id", "Genres", *numbers].__contains__)
    anime["Genres"] = anime["Genres"].where(anime["Genres"] != "UNKNOWN")
    anime[numbers] = anime[numbers].apply(pd.to_numeric, errors="coerce")
    return ratings, users, anime


def _texts(file: Path, key: str, column: str, wanted: Any) -> np.ndarray:
    """What stands in a column where the key is each of those wanted."""
    frame: Any = pd.read_csv(file, usecols=[key, column].__contains__, dtype=str, keep_default_na=False)
    return frame.drop_duplicates(key).set_index(key)[column].reindex(wanted.astype(str)).to_numpy()


def flat(facts: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Nested facts under dotted names."""
    rows: dict[str, Any] = {}
    for key, value in facts.items():
        name = f"{path}.{key}" if path else key
        rows |= flat(value, name) if isinstance(value, dict) else {name: value}
    return rows


def main() -> None:
    """Parse, work out, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=Path("data/raw"), help="directory of the dump's three CSV files")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--unscored", type=Path, help="write the dump with entries without a score to this directory")
    options = parser.parse_args()
    missing = [name for name in (RATINGS, USERS, ANIME) if not (options.input / name).exists()]
    if missing:
        parser.error(f"--input {options.input} lacks {', '.join(missing)}")
    ratings, users, anime = read_dump(options.input)
    if options.unscored:
        added = ratings.head(0) if has_unscored(ratings) else unscored_entries(ratings, users, KINDS[-1])
        write_unscored(options.input, options.unscored, added)
    facts = {
        "rmse_0.0729": score_as_label(ratings, anime),
        "rmse_1.70": worse_than_the_mean(ratings),
        "rmse_2.79_r2_0.49": unscored_as_zero(ratings, users),
    }
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    for name, found in facts.items():
        view = Table("figure", "value", title=name, title_justify="left")
        for figure, value in flat(found).items():
            view.add_row(figure, f"{value:.4f}" if isinstance(value, float) else str(value))
        Console(soft_wrap=True).print(view)


if __name__ == "__main__":
    main()
