"""What is known of users besides their ratings, as vectors.

Legend: u users, D embedding width, F numbers.
"""

import torch
from torch import Tensor, nn

from widedeep.common.console import log
from widedeep.data.feature_tables import FeatureTable
from widedeep.models.feature_inputs import EmbeddedColumns, FeatureLookup, ModelInputs, feature_spec
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.labels import Labels, Vocabularies

SIDE = "profile.columns"  # the lookup's place in the model


class UserProfile(nn.Module):
    """A vector of each user: the sum of embeddings of the user's values and of a linear map of the numbers.

    It is added to the bag of the history, so it is crossed with every item, and is all there is of users without
    ratings.
    """

    def __init__(self, shape: dict[str, int], width: int, sd: float):
        """Build for the columns in `shape`, with vectors of D = `width`."""
        super().__init__()
        self.columns = FeatureLookup.from_shape(SIDE, shape, shape["users"])
        vocabularies = self.columns.vocabularies
        self.values = EmbeddedColumns(list(vocabularies), vocabularies, width, sd)
        numbers = shape[f"{SIDE}.numbers"]
        self.numbers = nn.Linear(numbers, width, bias=False) if numbers else None
        if self.numbers:
            nn.init.normal_(self.numbers.weight, std=sd)

    def forward(self, user: Tensor) -> Tensor:
        """Return the vectors of users: [u] int32 user indexes -> [u, D]."""
        parts = self.values(self.columns.look_up_categories(user))
        if self.numbers:
            parts.append(self.numbers(self.columns.look_up_numbers(user)))
        return torch.stack(parts).sum(0)

    def labels(self, users: Vocabularies) -> Labels:
        """Return the labels of the embeddings."""
        return self.values.labels("profile.values", users)


def with_known_profile(config: WideDeepHistoryConfig, users: FeatureTable) -> WideDeepHistoryConfig:
    """Return the settings without columns that the users do not have or that are empty; log which ones are left out."""
    asked = {field: getattr(config, field) for field in ("user_columns", "user_numbers")}
    if left_out := [name for names in asked.values() for name in names if not users.table.has_values(name)]:
        log.info("the users have no %s: the model goes without", ", ".join(left_out))
    kept = {field: tuple(filter(users.table.has_values, names)) for field, names in asked.items()}
    return config.model_copy(update=kept)


def profile_inputs(config: WideDeepHistoryConfig, users: FeatureTable) -> ModelInputs:
    """Return the sizes and the buffers of a `UserProfile`; none if nothing is known of users."""
    if not (config.user_columns or config.user_numbers):
        return {}, {}
    return feature_spec(SIDE, users, config.user_numbers, config.user_columns)
