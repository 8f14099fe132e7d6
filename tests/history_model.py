"""A tiny model that encodes histories, whose affinities can be worked out by hand."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tests.builders import MAL, TEN_POINTS
from widedeep.config.models import ArchitectureConfig
from widedeep.models.artifact import NO_EPOCH, Artifact
from widedeep.models.base import Explanation, Histories, Recommender


class TasteConfig(ArchitectureConfig):
    """taste: the dot product of an item's vector and of the vectors of the items that a person has rated."""

    name: Literal["taste"] = "taste"


class Taste(Recommender):
    """A person is the sum of (rating - 5) * vector of the item; affinity = person . item; rating = 5 + affinity / 2."""

    config_class = TasteConfig
    affinity_is_rating = False
    encodes_histories = True

    def __init__(self, vectors: list[list[float]]):
        super().__init__()
        self.scale = TEN_POINTS
        self.register_buffer("vectors", torch.tensor(vectors))  # [I, D]

    def encode_histories(self, histories: Histories) -> Tensor:
        items, ratings = histories
        weights = torch.where(items >= 0, ratings - 5, 0.0)
        return (weights[..., None] * self.encode_items(items.clamp(min=0))).sum(1)

    def encode_users(self, user: Tensor) -> Tensor:
        raise NotImplementedError

    def encode_items(self, item: Tensor) -> Tensor:
        return self.get_buffer("vectors")[item]

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        return (users * items).sum(-1)

    def rate_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        return 5 + self.score_pairs(users, items) / 2

    def item_vectors(self, item: Tensor) -> Tensor:
        return self.encode_items(item)


class CandidTaste(Taste):
    """Gives the same reasons for everything: 0.75 is content, 0.25 deep, items 2 and 0, rated 9 and 8, speak for it."""

    explains = True

    def explain_chosen(self, users: Tensor, items: Tensor, chosen: Tensor) -> Explanation:
        affinity = self.score_pairs(users[:, None], items[chosen])
        reasons = torch.tensor([2, 0, -1]).expand(*chosen.shape, -1)
        ratings, shares = torch.tensor([[9.0, 8.0, 0.0], [0.5, 0.125, 0.0]]).expand(*chosen.shape, -1, -1).unbind(-2)
        content, deep = torch.full_like(affinity, 0.75), torch.full_like(affinity, 0.25)
        return Explanation(affinity - 1.0, content, deep, reasons, ratings, shares)


def taste_artifact(vectors: list[list[float]], popularity: list[int], kind: type[Taste] = Taste) -> Artifact:
    """The model with the given vectors of items, whose item_id are 10, 20, 30, …"""
    return Artifact(
        sha256="0" * 64,
        model=kind(vectors).eval(),
        config=TasteConfig(),
        manifest_digest="0" * 64,
        scale=TEN_POINTS,
        vocabularies={"users": {}, "items": {}},
        ids=MAL.ids,
        split={},
        refit=False,
        best=NO_EPOCH,
        user_id=np.array([1]),
        item_id=10 * np.arange(1, len(vectors) + 1),
        user_ratings=np.array([sum(popularity)], np.int32),
        item_ratings=np.array(popularity, np.int32),
    )
