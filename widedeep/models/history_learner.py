"""The interface of models that are trained on whole histories: a step holds out a part and answers for it.

Legend: u users of a batch, h held-out ratings of all of them, C candidates of each.
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from widedeep.data.histories import UserHistories
from widedeep.models.base import Recommender

NO_PENALTY = torch.zeros(())


class Learned(NamedTuple):
    """The answers of a training step: for the held-out ratings, h in all, and for candidates."""

    rating: Tensor  # [h] predicted
    truth: Tensor  # [h]
    affinity: Tensor  # [u, C] of the candidates
    liked: Tensor  # [u, C] float32, 1.0 for held-out items that the user liked
    log_weight: Tensor  # [u, C] float32, log of the number of candidates that each stands for
    penalty: Tensor = NO_PENALTY  # [] what the model itself adds to the loss


class HistoryLearner(Recommender):
    """A model to which a user is a history."""

    encodes_histories = True
    learns_from_histories = True

    @abstractmethod
    def learn(self, histories: UserHistories, generator: torch.Generator) -> Learned:
        """Hold out a part of each history, and answer for it from the rest, as if it had never been given.

        Args:
            histories: of users of the data; at least one.
            generator: draws what is held out.

        """
