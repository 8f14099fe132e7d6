"""Write a block of users as lines of the ratings file and of the users file.

Pyarrow kernels build all columns; only broken rows are made one by one.

Legend:
    A  anime     U  users of a block     n  ratings of a block     m  broken rows of a block
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from widedeep.synthesis.anime_text import draw_titles
from widedeep.synthesis.csv_text import csv_field, float_texts, join_fields, whole_text
from widedeep.synthesis.lexicon import CITIES, PLACES, STREETS
from widedeep.synthesis.planted_model import BAD_STREAM, DETAIL_STREAM, ID_SPAN, NAME_STREAM, PlantedModel
from widedeep.synthesis.ratings import Ratings
from widedeep.synthesis.sizes import OFFICIAL
from widedeep.synthesis.users import Users

RATING_HEADER = "user_id,Username,anime_id,Anime Title,rating"
USER_HEADER = (
    "Mal ID,Username,Gender,Birthday,Location,Joined,Days Watched,Mean Score,Watching,Completed,On Hold,Dropped,"
    "Plan to Watch,Total Entries,Rewatched,Episodes Watched"
)
# What is wrong with a broken row, named like the reasons of prepare's quarantine; broken rows take them in turn.
FAULTS = (
    "wrong_arity",  # the rating is cut off
    "user_id_not_a_number",
    "rating_out_of_range",  # -3
    "duplicate_pair",
    "rating_between_steps",  # 7.5
    "unknown_item",
    "rating_not_a_number",  # empty
    "wrong_arity",  # a field too many
    "item_id_not_a_number",
    "rating_out_of_range",  # 11
)
SYLLABLES = tuple(c + v for c in "kstnhmyrwdbvlj" for v in "aeiou")
ENDINGS = ("", *(str(year) for year in range(1985, 2008)), *(f"{i:02}" for i in range(100)), "-san", "-kun")
ODD_NAMES = ("null", "NA")  # names of raters that a careless reader takes for missing values
SHARE_MISSING = {"gender": 0.693, "birthday": 0.770, "location": 0.791}
SHARE_WITHOUT_COUNTERS = 8 / OFFICIAL["users"]
EPOCH_DAYS = np.arange(np.datetime64("1940-01-01"), np.datetime64("2024-01-01"))
SITE_OPENED, DUMPED = np.datetime64("2004-11-05"), np.datetime64("2023-06-01")
DAYS_PER_EPISODE = 24 / 60 / 24


def anime_labels(model: PlantedModel) -> pa.Array:
    """Return (A,) texts `anime_id,Anime Title,`: the middle of a line of the ratings file."""
    names, _, _ = draw_titles(model.seed, model.anime)
    return pa.array(f"{i},{csv_field(name)}," for i, name in zip(model.anime.anime_id, names, strict=True))


def usernames(model: PlantedModel, users: Users, block: int) -> pa.Array:
    """Return (U,) different names; the first block also has an empty name and ODD_NAMES."""
    rng, base = np.random.default_rng([model.seed, NAME_STREAM, block]), len(SYLLABLES)
    # Four syllables spell the id times a number coprime to 70**4, so that different ids have different names.
    number = users.user_id * 76_543_211 % base**4
    capital = base * (rng.random(len(number)) < 0.6)
    first, *others = (number // base**k % base for k in range(4))  # each (U,)
    ending = np.where(rng.random(len(number)) < 0.5, 0, rng.integers(0, len(ENDINGS), len(number)))
    names = join_fields(
        pa.array([*SYLLABLES, *(s.title() for s in SYLLABLES)]).take(pa.array(first + capital)),
        *(pa.array(SYLLABLES).take(pa.array(digit)) for digit in others),
        pa.array(["" if times == 0 else f"_{times}_" for times in (users.user_id // base**4).tolist()]),
        pa.array(ENDINGS).take(pa.array(ending)),
    )
    return _with_odd_names(names, users) if block == 0 else names


def _with_odd_names(names: pa.Array, users: Users) -> pa.Array:
    changed = names.to_pylist()
    for user, name in zip(np.flatnonzero(users.count)[1:], ODD_NAMES, strict=False):
        changed[user] = name
    for user in np.flatnonzero(users.count == 0)[5:6]:
        changed[user] = ""
    return pa.array(changed)


# --- the ratings file ----------------------------------------------------------------------------


@dataclass(frozen=True)
class RatingText:
    """Ratings of a block as text."""

    text: str  # lines, each with its newline
    faults: dict[str, int]  # fault -> broken rows


def rating_text(
    model: PlantedModel,
    labels: pa.Array,
    block: int,
    users: Users,
    ratings: Ratings,
    scored: np.ndarray,
    bad_rows: int,
) -> RatingText:
    """Return the lines of a block, with its share of the dump's broken rows mixed in.

    Args:
        model: the planted model.
        labels: (A,) from `anime_labels`.
        block: its number.
        users: of the block.
        ratings: of the block.
        scored: (n,) bool; entries without a score are written as 0.
        bad_rows: broken rows in the whole dump.

    """
    names = usernames(model, users, block)
    prefix = join_fields(pc.cast(pa.array(users.user_id), pa.string()), pa.array([","] * len(names)), names,
                    pa.array([","] * len(names)))  # fmt: skip
    values = pa.array([f"{value}\n" for value in range(11)])
    lines = join_fields(
        prefix.take(pa.array(ratings.user)),
        labels.take(pa.array(ratings.item)),
        values.take(pa.array(ratings.rating * scored)),
    )
    begin, end = (_bad_before(model, block + i, bad_rows) for i in (0, 1))
    if begin == end:
        return RatingText(whole_text(lines), {})
    rng = np.random.default_rng([model.seed, BAD_STREAM, block])
    whole = np.flatnonzero(scored) if scored.any() else np.arange(len(scored))
    after = whole[rng.integers(0, len(whole), end - begin)]  # (m,) index of the good line before each broken one
    faults = [FAULTS[turn % len(FAULTS)] for turn in range(begin, end)]
    broken = [
        _broken_line(turn, lines[line].as_py().rstrip("\n"), model.anime.anime_id, int(ratings.item[line]))
        for turn, line in zip(range(begin, end), after.tolist(), strict=True)
    ]
    order = np.argsort(np.concatenate([np.arange(len(lines)), after + 0.5]), kind="stable")
    mixed = pa.concat_arrays([lines, pa.array(broken)]).take(pa.array(order))
    return RatingText(whole_text(mixed), {fault: faults.count(fault) for fault in set(faults)})


def _bad_before(model: PlantedModel, block: int, bad_rows: int) -> int:
    """Return the number of broken rows in the blocks before this one."""
    return bad_rows * model.sizes.ratings_before(block) // model.sizes.ratings


def _broken_line(turn: int, line: str, anime_id: np.ndarray, item: int) -> str:
    """Return a good line of an item with the fault whose turn it is, and a newline."""
    user, _, rest = line.partition(",")
    head, _, value = line.rpartition(",")
    second = turn % len(FAULTS) >= len(FAULTS) // 2  # the other variant of a fault that has two
    changed = {
        "wrong_arity": f"{line},{value}" if second else head,
        "user_id_not_a_number": f"u{user},{rest}",
        "item_id_not_a_number": line.replace(f",{anime_id[item]},", ",one,", 1),
        "rating_not_a_number": f"{head},",
        "rating_out_of_range": f"{head},{11 if second else -3}",
        "rating_between_steps": f"{head},7.5",
        "unknown_item": f"{user},x,{anime_id[-1] + 1 + turn % 1000},Not in the catalogue,{value}",
        "duplicate_pair": f"{head},{int(value) % 10 + 1}",  # with another rating; the first one is as planted
    }
    return changed[FAULTS[turn % len(FAULTS)]] + "\n"


# --- the users file ------------------------------------------------------------------------------


def user_text(model: PlantedModel, block: int, users: Users, ratings: Ratings, scored: np.ndarray) -> str:
    """Return the lines of a block's users; `Mean Score` is over all scores of a user, test ratings included."""
    rng = np.random.default_rng([model.seed, DETAIL_STREAM, block])
    size = len(users.count)
    comma, end = pa.array([","] * size), pa.array(["\n"] * size)
    profile = [
        pc.cast(pa.array(users.user_id), pa.string()),
        usernames(model, users, block),
        _genders(rng, model, users),
        _birthdays(rng, model, users),
        _locations(rng, size),
        _dates(_joined(rng, model, users)),
    ]
    known = rng.random(size) >= SHARE_WITHOUT_COUNTERS
    if block == 0:
        known[np.flatnonzero(users.count == 0)[2:4]] = False
    counters = [float_texts(pa.array(values, mask=~known)) for values in _activity(rng, users, ratings, scored)]
    fields = [field for column in [*profile, *counters] for field in (comma, column)]
    return whole_text(join_fields(*fields[1:], end))


def _genders(rng: np.random.Generator, model: PlantedModel, users: Users) -> pa.Array:
    """Return (U,) genders; clusters differ in gender and age, so that a profile tells something of the taste."""
    lean = 1 / (1 + np.exp(-0.6 - 2.0 * model.centre[users.cluster, 0]))
    drawn = np.where(rng.random(len(lean)) < lean, 0, 1)
    drawn = np.where(rng.random(len(lean)) < 0.015, 2, drawn)
    missing = rng.random(len(lean)) < SHARE_MISSING["gender"]
    return pa.array(["Male", "Female", "Non-Binary"]).take(pa.array(drawn, mask=missing))


def _birthdays(rng: np.random.Generator, model: PlantedModel, users: Users) -> pa.Array:
    age = np.clip(27 + 6 * model.centre[users.cluster, 1] + rng.normal(0, 5, len(users.count)), 12, 80)
    days = DUMPED - (age * 365.25).astype(np.int64)
    return _dates(days, rng.random(len(age)) < SHARE_MISSING["birthday"])


def _joined(rng: np.random.Generator, model: PlantedModel, users: Users) -> np.ndarray:
    """Return (U,) dates in the order of the ids; the site grew fastest in its middle years."""
    share = np.clip(users.user_id / (ID_SPAN * model.sizes.blocks) + rng.normal(0, 1e-4, len(users.count)), 0, 1)
    return SITE_OPENED + ((DUMPED - SITE_OPENED).astype(int) * share**0.8).astype(np.int64)


def _dates(days: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Return (U,) ISO texts with an offset."""
    texts = pa.array([f"{day}T00:00:00+00:00" for day in EPOCH_DAYS.astype(str)])
    return texts.take(pa.array((days - EPOCH_DAYS[0]).astype(np.int64), mask=missing))


def _locations(rng: np.random.Generator, size: int) -> pa.Array:
    """Return (U,) free texts: mostly well-known places, else a part of a city."""
    edges = np.cumsum([weight for _, weight in PLACES])
    known = np.searchsorted(edges, rng.random(size) * edges[-1], "right")
    places = [csv_field(place) for place, _ in PLACES]
    rare = [csv_field(f"{city}, {street}") for city in CITIES for street in STREETS]
    drawn = np.where(rng.random(size) < 0.85, known, len(places) + rng.integers(0, len(rare), size))
    return pa.array(places + rare).take(pa.array(drawn, mask=rng.random(size) < SHARE_MISSING["location"]))


def _activity(rng: np.random.Generator, users: Users, ratings: Ratings, scored: np.ndarray) -> list[np.ndarray]:
    """Return ten columns (U,), in the order of USER_HEADER from `Days Watched` on."""
    size = len(users.count)
    total = np.bincount(ratings.user, weights=ratings.rating * scored, minlength=size)
    mean = np.round(total / np.maximum(np.bincount(ratings.user, weights=scored, minlength=size), 1), 2)
    seen_by_idle = np.where(rng.random(size) < 0.5, 0, np.exp(rng.normal(2.5, 1.5, size)))  # users who rate nothing
    seen = np.where(users.count > 0, users.count * (1 + rng.exponential(0.3, size)), seen_by_idle).astype(np.int64)
    watching, hold, dropped, rewatched = (
        rng.poisson(share * seen * rng.gamma(1.0, 1.0, size)) for share in (0.05, 0.04, 0.05, 0.05)
    )
    planned = rng.poisson(rng.gamma(0.5, 60.0, size) * (seen > 0))
    episodes = (seen * np.exp(rng.normal(2.3, 0.4, size))).astype(np.int64)
    days = np.round(episodes * DAYS_PER_EPISODE, 1)
    entries = watching + seen + hold + dropped + planned
    columns = (days, mean, watching, seen, hold, dropped, planned, entries, rewatched, episodes)
    return [np.asarray(column, np.float64) for column in columns]
