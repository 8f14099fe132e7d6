"""Read the 2023 dump with pandas; copy it with entries that have no score, or with another label."""

import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from widedeep.common.command import find_config
from widedeep.config.raw_data import ANIME_FILE, RATINGS_FILE, USERS_FILE
from widedeep.evaluation.published.score_as_label import LABEL_STEP

DATASET_FILE = "dataset.toml"


def read_dump(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ratings, users and anime of a dump: the columns needed here, and only whole ratings from -1 to 10."""
    columns = ["user_id", "anime_id", "rating"]
    ratings: Any = pd.read_csv(directory / RATINGS_FILE, usecols=columns.__contains__, on_bad_lines="skip")
    ratings = ratings[columns].apply(pd.to_numeric, errors="coerce").dropna()
    ratings = ratings[ratings["rating"].isin(range(-1, 11))].drop_duplicates(["user_id", "anime_id"])
    ratings = ratings.astype({"user_id": np.int64, "anime_id": np.int32, "rating": np.int8})
    users = pd.read_csv(directory / USERS_FILE, usecols=["Mal ID", "Total Entries"].__contains__)
    numbers = ["Score", "Popularity", "Rank"]
    anime: Any = pd.read_csv(directory / ANIME_FILE, usecols=["anime_id", "Genres", *numbers].__contains__)
    anime["Genres"] = anime["Genres"].where(anime["Genres"] != "UNKNOWN")
    anime[numbers] = anime[numbers].apply(pd.to_numeric, errors="coerce")
    return ratings, users, anime


def write_unscored(source: Path, target: Path, entries: pd.DataFrame) -> None:
    """Copy a dump and append entries without a score to its ratings; the ratings file gets its name last.

    Args:
        source: directory of the dump.
        target: directory to write.
        entries: user_id, anime_id, rating to append.

    """
    target.mkdir(parents=True, exist_ok=True)
    for name in (USERS_FILE, ANIME_FILE):
        shutil.copyfile(source / name, target / name)
    columns = {
        "user_id": entries["user_id"],
        "Username": _texts(source / USERS_FILE, "Mal ID", "Username", entries["user_id"]),
        "anime_id": entries["anime_id"],
        "Anime Title": _texts(source / ANIME_FILE, "anime_id", "Name", entries["anime_id"]),
        "rating": entries["rating"],
    }
    header: Any = pd.read_csv(source / RATINGS_FILE, nrows=0).columns
    draft = target / f"{RATINGS_FILE}.draft"
    shutil.copyfile(source / RATINGS_FILE, draft)
    with draft.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.write(b"\n")
    pd.DataFrame(columns).reindex(columns=header).to_csv(draft, mode="a", header=False, index=False)
    draft.rename(target / RATINGS_FILE)


def write_mean_scores(source: Path, target: Path, labels: pd.DataFrame) -> None:
    """Write a dump whose ratings are the anime's mean scores, and what it is; the ratings file gets its name last.

    Args:
        source: directory of the dump.
        target: directory to write; DATASET_FILE in it is the description for `prepare --dataset`.
        labels: user_id, anime_id, rating from 0 to 1, from `mean_scores_as_ratings`.

    """
    target.mkdir(parents=True, exist_ok=True)
    for name in (USERS_FILE, ANIME_FILE):
        shutil.copyfile(source / name, target / name)
    described = tomllib.loads(find_config("mal2023", "data", "dataset").read_text())
    described["ratings"] |= {"lowest": 0, "highest": 1, "step": LABEL_STEP, "liked": 0.8, "unscored": []}
    (target / DATASET_FILE).write_text(tomli_w.dumps(described))
    draft = target / f"{RATINGS_FILE}.draft"
    labels.to_csv(draft, index=False)
    draft.rename(target / RATINGS_FILE)


def _texts(file: Path, key: str, column: str, wanted: Any) -> np.ndarray:
    """The values of a text column for the wanted keys."""
    frame: Any = pd.read_csv(file, usecols=[key, column].__contains__, dtype=str, keep_default_na=False)
    return frame.drop_duplicates(key).set_index(key)[column].reindex(wanted.astype(str)).to_numpy()
