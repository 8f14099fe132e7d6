"""Plan how many users, raters, ratings and anime a generated dump has, in total and in each block of users."""

import math
from dataclasses import dataclass

from widedeep.common.errors import InputError
from widedeep.synthesis.anime import RATED_SHARE

USERS_PER_BLOCK = 2048  # users; about 68,000 ratings

# The sizes of the official dump; other sizes keep its proportions.
OFFICIAL = {"ratings": 24_325_191, "raters": 270_033, "users": 731_290, "anime": 24_905}
MIN_ANIME = 600
MAX_SHARE = 0.6  # of the rated anime, the most that one user rates


@dataclass(frozen=True)
class Sizes:
    """Totals of a dump, and exact counts for each block by cumulative rounding."""

    ratings: int
    users: int
    raters: int
    anime: int

    @property
    def blocks(self) -> int:
        """Number of blocks of users."""
        return -(-self.users // USERS_PER_BLOCK)

    def users_before(self, block: int) -> int:
        """Return the number of users in the blocks before this one."""
        return min(block * USERS_PER_BLOCK, self.users)

    def raters_before(self, block: int) -> int:
        """Return the number of raters in the blocks before this one."""
        return self.raters * self.users_before(block) // self.users

    def ratings_before(self, block: int) -> int:
        """Return the number of ratings in the blocks before this one."""
        return self.ratings * self.raters_before(block) // self.raters


def plan_sizes(ratings: int, users: int | None = None, anime: int | None = None) -> Sizes:
    """Complete the sizes in the proportions of the official dump.

    Raises:
        InputError: there are too few users or anime for that many ratings.

    """
    per_rater = OFFICIAL["users"] / OFFICIAL["raters"]
    if users is None:
        raters = max(1, round(ratings * OFFICIAL["raters"] / OFFICIAL["ratings"]))
        users = max(round(raters * per_rater), raters)
    else:
        raters = min(max(1, round(users / per_rater)), ratings)
    if anime is None:
        grown = round(OFFICIAL["anime"] * math.sqrt(ratings / OFFICIAL["ratings"]))
        anime = min(max(grown, MIN_ANIME), OFFICIAL["anime"])
    sizes = Sizes(ratings, users, raters, anime)
    most = raters * most_ratings(anime)
    if ratings > most:
        raise InputError(
            f"{ratings} ratings do not fit {raters} raters (of {users} users) and {anime} anime, "
            f"which allow {most}: raise --users or --anime, or lower --ratings"
        )
    return sizes


def most_ratings(anime: int) -> int:
    """Return the most ratings that one user may have, of the RATED_SHARE of the anime that are ever rated."""
    return max(1, int(MAX_SHARE * max(2, round(RATED_SHARE * anime))))
