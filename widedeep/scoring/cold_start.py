"""Lists for cold users, who have no training ratings.

Legend: U users of a block, I items, N recommended items.
"""

from typing import Literal

import numpy as np

from widedeep.models.artifact import Artifact
from widedeep.scoring.scorer import Scorer

ColdUsers = Literal["popular", "model"]


class ColdStartRanker:
    """Lists for users without training ratings: the most rated items, or the model's best.

    If the model gives all cold users the same encoding, their ratings are predicted once.
    """

    def __init__(self, artifact: Artifact, scorer: Scorer, kind: ColdUsers, cold_user: int):
        """Rank all items.

        Args:
            artifact: the trained model.
            scorer: scores all items.
            kind: popular: by the share of the training users who rated the item; model: by the model's affinity.
            cold_user: index of a user without training ratings.

        """
        self._scorer, self._alike = scorer, artifact.model.cold_users_alike
        one = np.array([cold_user], np.int32)
        affinities = scorer.affinities(one)[0].cpu().numpy().copy()  # [I]
        self._ratings = affinities
        if not artifact.model.affinity_is_rating:
            self._ratings = scorer.ratings_of(one, np.arange(len(affinities))[None])[0]
        train_users = max(1, int((artifact.user_ratings > 0).sum()))
        self.affinities = artifact.item_ratings / train_users if kind == "popular" else affinities  # [I]
        self._order = np.argsort(-self.affinities, kind="stable")

    def top(self, seen: np.ndarray, n: int) -> np.ndarray:
        """Return the n best unseen items. A cold user can have seen some, in splits other than train."""
        head = self._order[: n + len(seen)]
        return head[~np.isin(head, seen)][:n]

    def ratings(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Predict ratings: [U] user and [U, N] item indexes, -1 for none -> [U, N], not clipped."""
        known = items.clip(min=0)
        return self._ratings[known] if self._alike else self._scorer.ratings_of(users, known)
