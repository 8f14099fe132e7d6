"""The training ratings inside a model that has no table of users: a user is a history.

Legend: U users, u of them, I items, A rated items (with training ratings), R = A + 1 rows (the last for all unrated
items), n training ratings, L ratings of the longest history.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from widedeep.data.feature_tables import Tables
from widedeep.data.histories import UserHistories
from widedeep.models.history.fitted import Fitted


class RatingLedger(Fitted):
    """The histories of the users of the data, and how rows and items are numbered."""

    start: Tensor  # [U + 1] int64; user j has the ratings from start[j] up to start[j + 1]
    row: Tensor  # [n] int32
    rating: Tensor  # [n] float32
    row_of: Tensor  # [I] int32, A for unrated items
    item_of: Tensor  # [R] int32, 0 for the last row

    def __init__(self, shape: dict[str, int]):
        """Build with empty buffers; the shape holds users U, items I, rows R and ratings n."""
        super().__init__()
        for name, size in (("row", "ratings"), ("row_of", "items"), ("item_of", "rows")):
            self.register_buffer(name, torch.zeros(shape[size], dtype=torch.int32))
        self.register_buffer("start", torch.zeros(shape["users"] + 1, dtype=torch.int64))
        self.register_buffer("rating", torch.zeros(shape["ratings"]))

    def history(self, user: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Return the training ratings of users, of a longer history `longest` ratings at equal distances.

        Args:
            user: [u] int32 user indexes.
            longest: how many ratings to return at most.

        Returns:
            [u, L] int64 rows, the last one where a history is shorter; [u, L] float32 ratings.

        """
        first = self.start[user]
        place, inside = evenly_spaced(self.start[user + 1] - first, longest)
        index = (first[:, None] + place).clamp(max=len(self.row) - 1)
        row = torch.where(inside, self.row[index].long(), len(self.item_of) - 1)
        return row, torch.where(inside, self.rating[index], 0.0)

    def rated(self, user: Tensor) -> Tensor:
        """Return what users have rated: [u] int32 user indexes -> [u, R] bool."""
        histories = self.histories(user)
        out = torch.zeros(len(user), len(self.item_of), dtype=torch.bool, device=user.device)
        out[histories.owner(), self.row_of[histories.item].long()] = True
        return out

    def histories(self, user: Tensor) -> UserHistories:
        """Return all training ratings of users, whose histories may be empty: [u] int32 user indexes."""
        users = torch.arange(len(self.start) - 1, dtype=torch.int32, device=user.device)
        user, start, row, rating = UserHistories(users, self.start, self.row, self.rating).select(user)
        return UserHistories(user, start, self.item_of[row], rating)


def evenly_spaced(count: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Choose at most `longest` of the ratings of each user, at equal distances.

    Args:
        count: [u] int64, numbers of ratings.
        longest: how many to choose.

    Returns:
        [u, L] int64 places, from 0; [u, L] bool, which of them there are.

    """
    order = torch.arange(min(longest, max(1, int(count.max()) if len(count) else 1)), device=count.device)
    place = order * (count[:, None] / len(order)).clamp(min=1.0)
    return place.long(), place < count[:, None]


class TrainingRatings(NamedTuple):
    """The training ratings, grouped by user."""

    user: np.ndarray  # [n] int64
    row: np.ndarray  # [n] int32
    rating: np.ndarray  # [n] float32


def fit_ledger(tables: Tables) -> tuple[dict[str, int], dict[str, Tensor], TrainingRatings]:
    """Return the shape of `RatingLedger`, its buffers, and the ratings that it holds."""
    histories, items = tables.user_histories(), tables.items
    rated = np.flatnonzero(items.values("train_ratings") > 0)
    row_of = np.full(items.rows, len(rated), np.int32)
    row_of[rated] = np.arange(len(rated))
    user = np.repeat(histories.user.numpy().astype(np.int64), histories.start.diff().numpy())
    ratings = TrainingRatings(user, row_of[histories.item.numpy()], histories.rating.numpy())
    shape = {"users": tables.users.rows, "items": items.rows, "rows": len(rated) + 1, "ratings": len(user)}
    buffers = {
        "start": torch.from_numpy(np.append(0, np.cumsum(np.bincount(user, minlength=tables.users.rows)))),
        "row": torch.from_numpy(ratings.row),
        "rating": histories.rating,
        "row_of": torch.from_numpy(row_of),
        "item_of": torch.from_numpy(np.append(rated, 0).astype(np.int32)),
    }
    return shape, buffers, ratings
