"""Ranking metrics of a trained model on a sample of test users, beside those of recommending the most rated items.

A model with a good RMSE can still recommend poorly, so every run reports both.
"""

import math
from collections import defaultdict
from typing import Literal

import numpy as np
import torch

from widedeep.data.batches import RatingSource
from widedeep.evaluation.ranking_metrics import mean_ranking_metrics
from widedeep.parallel.world import World
from widedeep.schema.evaluation import LIST_LENGTH
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.top_n import top_unseen

Split = Literal["valid", "test"]


def sample_users(
    loader: RatingSource, world: World, users: int, count: int, seed: int, split: Split = "test"
) -> torch.Tensor:
    """Up to `count` users with a liked item in a split, [n] int64, the same on every rank."""
    liked = torch.zeros(users, dtype=torch.int64, device=world.device)
    for batch in loader.batches(split):
        liked += torch.bincount(batch.user[batch.rating >= loader.scale.liked].long(), minlength=users)
    candidates = world.sum(liked).nonzero().flatten().cpu()
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
    return candidates[order[:count]].sort().values


def interactions(
    loader: RatingSource, world: World, split: str, users: torch.Tensor, least: float = -math.inf
) -> dict[int, list[int]]:
    """User -> the items that the user rated at least `least` in a split; for some users, the same on every rank."""
    wanted = users.to(world.device)
    pairs = []
    for batch in loader.batches(split):
        keep = torch.isin(batch.user, wanted.to(batch.user.dtype)) & (batch.rating >= least)
        pairs.append(torch.stack([batch.user[keep], batch.item[keep]], dim=1).cpu().numpy())
    items: dict[int, list[int]] = defaultdict(list)
    for part in world.gather(np.concatenate(pairs) if pairs else np.empty((0, 2), np.int32)):
        for user, item in part.tolist():
            items[user].append(item)
    return items


def share_of_sample(users: torch.Tensor, world: World) -> torch.Tensor:
    """This rank's share of the sample; shares have equal lengths, because sharded models score on all ranks together.

    The last shares are filled up with users that other ranks score too.
    """
    each = -(-len(users) // world.size)
    turns = torch.arange(world.rank, world.rank + each * world.size, world.size)
    return users[turns % max(1, len(users))]


def measure_ranking(
    model,
    loader: RatingSource,
    world: World,
    popularity: np.ndarray,
    users: int,
    count: int,
    seed: int,
    split: Split = "test",
) -> dict[str, dict[str, float]]:
    """NDCG@10, Recall@20 and coverage over a sample of users, by `model` and by `popularity`.

    The candidates are all items that the user did not rate in the splits before: train, and for test valid, too.

    Args:
        model: the Recommender whose affinities rank the items.
        loader: the ratings.
        world: all ranks read; each scores its share of the users.
        popularity: [I] training ratings of each item.
        users: number of all users.
        count: size of the sample.
        seed: seed of the sample.
        split: the split whose liked items are relevant.

    """
    sample = sample_users(loader, world, users, count, seed, split)
    relevant = interactions(loader, world, split, sample, loader.scale.liked)
    seen = interactions(loader, world, "train", sample)
    if split == "test":
        for user, items in interactions(loader, world, "valid", sample).items():
            seen[user].extend(items)
    mine = share_of_sample(sample, world).numpy()
    seen_items = [np.array(seen[user], dtype=np.int64) for user in mine.tolist()]
    scorer = Scorer(model, len(popularity), world.device)
    by_model = scorer.top(mine.astype(np.int32), seen_items, LIST_LENGTH).items
    by_count = _most_rated(popularity, seen_items)
    result = {}
    for name, tops in {"model": by_model, "popularity": by_count}.items():
        # -1 fills up the lists of users who have no item left
        lists = {u: [i for i in top if i >= 0] for u, top in zip(mine.tolist(), tops.tolist(), strict=True)}
        merged = {user: items for part in world.gather(lists) for user, items in part.items()}
        result[name] = mean_ranking_metrics(merged, {u: set(i) for u, i in relevant.items()}, len(popularity))
    return result


def _most_rated(popularity: np.ndarray, seen: list[np.ndarray]) -> np.ndarray:
    scores = torch.from_numpy(popularity.astype(np.float32))
    n = min(LIST_LENGTH, len(scores))
    tops = [top_unseen(scores.clone()[None], [items], n)[1][0].numpy() for items in seen]
    return np.stack(tops) if tops else np.empty((0, n), np.int64)
