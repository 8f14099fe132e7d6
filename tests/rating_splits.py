"""Ratings in memory, and what is tested of every baseline that they are given to."""

import numpy as np
import torch

from tests.builders import TEN_POINTS
from widedeep.baselines.base import Baseline, BaselineContext
from widedeep.baselines.tuning import Evaluator, recommend, tune
from widedeep.data.batches import Batch
from widedeep.data.rating_matrices import Splits

USERS, ITEMS = 40, 25


def splits_of(train, valid=(), test=(), users=USERS, items=ITEMS) -> Splits:
    """From rows of (user, item, rating)."""
    parts = {}
    for name, rows in (("train", train), ("valid", valid), ("test", test)):
        user, item, rating = torch.tensor(rows, dtype=torch.float32).reshape(-1, 3).T.contiguous()
        parts[name] = Batch(user.int(), item.int(), rating)
    mean = float(np.mean([row[2] for row in train]))
    return Splits(users, items, mean, parts, TEN_POINTS)


def random_splits() -> Splits:
    """Random ratings; the last two users and items have none in train."""
    random = np.random.default_rng(3)
    pairs = random.choice(USERS * ITEMS, 420, replace=False)
    rows = np.stack([pairs // ITEMS, pairs % ITEMS, random.integers(1, 11, len(pairs))], axis=1)
    part = random.choice(3, len(rows), p=[0.7, 0.15, 0.15])
    part[(rows[:, 0] >= USERS - 2) | (rows[:, 1] >= ITEMS - 2)] = 1
    return splits_of(*(rows[part == p].tolist() for p in range(3)))


def context_of(splits: Splits) -> BaselineContext:
    return BaselineContext(splits, Evaluator(splits, USERS, 0), ((2.0, 1.0),), data="", seed=0)


def dense(splits: Splits, values=None) -> np.ndarray:
    user, item, rating = splits.pairs("train")
    matrix = np.zeros((splits.users, splits.items))
    matrix[user, item] = rating if values is None else values
    return matrix


def everyone(splits: Splits) -> np.ndarray:
    return np.arange(splits.users)


def assert_valid_chooses(baseline: Baseline, splits: Splits) -> None:
    """Whichever candidate's lists are what the users like in the valid split: it is the one that tuning keeps."""
    train = np.stack(splits.pairs("train"), axis=1).tolist()
    for planted in baseline.candidates(context_of(splits)):
        lists = recommend(planted.ranker, np.arange(USERS - 2), splits.history, 3)
        valid = [(u, i, 10) for block in lists for u, row in zip(block.users, block.items, strict=True) for i in row]
        context = context_of(splits_of(train, valid))
        tuned = tune(baseline.name, baseline.candidates(context), context.evaluator)
        assert tuned.lists.settings == planted.settings
