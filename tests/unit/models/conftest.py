"""A small prepared directory, and wide_deep_history models fitted to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from tests.builders import write_prepared
from widedeep.data.feature_tables import Tables
from widedeep.data.histories import UserHistories
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.wide_deep_history import WideDeepHistory
from widedeep.schema.manifest import Manifest

SMALL = {"embedding_dim": 4, "heads": 2, "attention_hidden": 5, "hidden": (8,), "ridge": 5.0, "candidates": 12}
NO_DROPOUT = {"dropout": 0.0, "bag_dropout": 0.0}

Pair = tuple[int, int]  # user index, item index


class ChangedTables(Tables):
    """The same tables with some training ratings changed, or removed where the new rating is None."""

    def __init__(self, data: Path, manifest: Manifest, changes: Mapping[Pair, float | None]):
        super().__init__(data, manifest)
        self._changes = changes

    def train_ratings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        user, item, rating = super().train_ratings()
        pairs = zip(user.tolist(), item.tolist(), rating.tolist(), strict=True)
        changed = np.array([np.nan if (r := self._changes.get((u, i), old)) is None else r for u, i, old in pairs])
        kept = ~np.isnan(changed)
        return user[kept], item[kept], changed[kept].astype(np.float32)


class Data(NamedTuple):
    """A prepared directory, from which models are fitted."""

    path: Path
    manifest: Manifest

    def tables(self, changes: Mapping[Pair, float | None] | None = None) -> Tables:
        return ChangedTables(self.path, self.manifest, changes or {})

    def histories(self, users: list[int], changes: Mapping[Pair, float | None] | None = None) -> UserHistories:
        return self.tables(changes).user_histories().select(torch.tensor(users))

    def model(
        self, settings: Mapping | None = None, changes: Mapping[Pair, float | None] | None = None, noise: float = 0.2
    ) -> WideDeepHistory:
        """A model whose parameters are as at first plus `noise`, so that each term shows in the answers."""
        torch.manual_seed(0)
        config = WideDeepHistoryConfig(**{**SMALL, **NO_DROPOUT, **(settings or {})})
        model = WideDeepHistory.from_tables(config, self.tables(changes))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += noise * torch.randn(parameter.shape)
            model.terms.vectors.items.weight[-1].zero_()  # padding, which no training changes
        return model.eval()


def prepared(path: Path, **sizes: int) -> Data:
    return Data(path, write_prepared(path, features=True, **sizes))


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Data:
    """40 users with about 40 ratings each, 80 items with about 20 each; the last users and items are cold."""
    return prepared(tmp_path_factory.mktemp("history") / "prepared", users=40, items=80, ratings=2000)


@pytest.fixture(scope="session")
def denser(tmp_path_factory) -> Data:
    """150 users with about 35 ratings each, 60 items with about 85 each: no single rating matters much."""
    return prepared(tmp_path_factory.mktemp("denser") / "prepared", users=150, items=60, ratings=6500)


@pytest.fixture(scope="session")
def model(data) -> WideDeepHistory:
    """A model that tests only read."""
    return data.model()
