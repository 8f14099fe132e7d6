"""Small data sets in the shapes that public ones have: the same ratings, written in different ways."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

USERS, ITEMS, SHARE = 40, 25, 0.5
GENRES = ("Action", "Drama", "Comedy", "War")


def pairs(levels: list[float]) -> pd.DataFrame:
    """user, item, rating, time of about half of all pairs, in random order; users and items count from 1."""
    rng = np.random.default_rng(3)
    user, item = np.divmod(rng.permutation(USERS * ITEMS)[: int(USERS * ITEMS * SHARE)], ITEMS)
    time = 978_300_000 + rng.integers(0, 10**7, len(user))
    return pd.DataFrame({"user": user + 1, "item": item + 1, "rating": rng.choice(levels, len(user)), "time": time})


def titles() -> list[str]:
    return [f"Café, no. {item} ({1980 + item})" for item in range(1, ITEMS + 1)]


def genres(item: int, separator: str) -> str:
    return separator.join(GENRES[: item % 4 + 1])


def colons(path: Path) -> Path:
    """`::`, no header, latin-1, as MovieLens 1M."""
    frame = pairs([1, 2, 3, 4, 5])
    (path / "ratings.dat").write_text("".join("::".join(map(str, row)) + "\n" for row in frame.itertuples(index=False)))
    movies = "".join(f"{n}::{title}::{genres(n, '|')}\n" for n, title in enumerate(titles(), 1))
    (path / "movies.dat").write_bytes(movies.encode("iso-8859-1"))
    (path / "users.dat").write_text(
        "".join(f"{n}::{'FM'[n % 2]}::{n % 50}::{n % 9}::{48000 + n}\n" for n in range(1, 41))
    )
    (path / "README").write_text("SUMMARY\n\nThese files contain 500 ratings of 25 movies: see below.\n")
    return path


def half_stars(path: Path) -> Path:
    """CSV with ratings of 0.5 to 5, as MovieLens 20M."""
    frame = pairs([n / 2 for n in range(1, 11)])
    names = {"user": "userId", "item": "movieId", "time": "timestamp"}
    frame.rename(columns=names).to_csv(path / "ratings.csv", index=False)
    movies = {"movieId": range(1, ITEMS + 1), "title": titles(), "genres": [genres(n, "|") for n in range(ITEMS)]}
    pd.DataFrame(movies).to_csv(path / "movies.csv", index=False)
    return path


def typed_header(path: Path) -> Path:
    """Tabs below a header with types, as RecBole."""
    names = {"user": "user_id:token", "item": "item_id:token", "rating": "rating:float", "time": "timestamp:float"}
    pairs([1, 2, 3, 4, 5]).rename(columns=names).to_csv(path / "small.inter", sep="\t", index=False)
    items = {"item_id:token": range(1, ITEMS + 1), "movie_title:token_seq": titles()}
    items["class:token_seq"] = [genres(n, " ") for n in range(ITEMS)]
    pd.DataFrame(items).to_csv(path / "small.item", sep="\t", index=False)
    users = {"user_id:token": range(1, USERS + 1), "age:float": np.arange(USERS) + 20.0}
    users["gender:token"] = ["FM"[n % 2] for n in range(USERS)]
    pd.DataFrame(users).to_csv(path / "small.user", sep="\t", index=False)
    return path


def as_json(path: Path) -> Path:
    """Objects of JSON, one a line, with texts as identifiers, as reviews of Amazon."""
    with gzip.open(path / "reviews.jsonl.gz", "wt") as file:
        for row in pairs([1, 2, 3, 4, 5]).itertuples(index=False):
            review = {"reviewerID": f"A{row.user}", "asin": f"B{row.item:04}", "overall": float(row.rating)}
            file.write(json.dumps({**review, "unixReviewTime": int(row.time), "reviewText": "Good, " * 30}) + "\n")
    with (path / "products.jsonl").open("w") as file:
        for number, title in enumerate(titles(), 1):
            product = {"asin": f"B{number:04}", "title": title, "price": number * 1.5}
            file.write(json.dumps({**product, "categories": genres(number, ",").split(",")}) + "\n")
    return path


def parquet(path: Path) -> Path:
    """A directory of Parquet parts, with 0 for entries without a score, and lists."""
    frame = pairs([0, *range(1, 11)]).rename(columns={"user": "user_id", "item": "item_id"})
    (path / "interactions").mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), 2)):
        frame.iloc[part].to_parquet(path / "interactions" / f"part-{number}.parquet", index=False)
    items = {"item_id": range(1, ITEMS + 1), "title": titles(), "average_rating": np.linspace(1, 10, ITEMS)}
    items["tags"] = [genres(n, ",").split(",") for n in range(ITEMS)]
    pd.DataFrame(items).to_parquet(path / "items.parquet", index=False)
    return path


def implicit(path: Path) -> Path:
    """Plays with no rating, separated by semicolons."""
    frame = pairs([1]).drop(columns="rating").rename(columns={"user": "user_id", "item": "artist_id"})
    frame["played_at"] = pd.to_datetime(frame.pop("time"), unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S")
    frame.to_csv(path / "plays.csv", sep=";", index=False)
    return path


SHAPES: dict[str, Callable[[Path], Path]] = {
    "colons": colons,
    "half_stars": half_stars,
    "typed_header": typed_header,
    "json": as_json,
    "parquet": parquet,
    "implicit": implicit,
}
