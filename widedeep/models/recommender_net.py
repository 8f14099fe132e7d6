"""RecommenderNet, as notebooks on these ratings have it: a sigmoid over the cosine of two embeddings.

Legend: B pairs, D embedding width.
"""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from widedeep.config.fields import Count, comma_separated
from widedeep.config.models import ArchitectureConfig
from widedeep.models.base import MakeEmbedding
from widedeep.models.bounded import Bounded
from widedeep.models.factorised import Side
from widedeep.models.tiled_mlp import apply_in_tiles
from widedeep.parallel.rows import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class RecommenderNetConfig(ArchitectureConfig):
    """recommender_net: a sigmoid over the cosine of two embeddings."""

    name: Literal["recommender_net"] = "recommender_net"
    embedding_dim: Count = Field(default=128, ge=1, description="width of the user and of the item embedding")
    dense: Annotated[tuple[Annotated[Count, Field(ge=1)], ...], BeforeValidator(comma_separated)] = Field(
        default=(64,), description="widths of the layers between the cosine and the output"
    )


class RecommenderNet(Bounded):
    """rating = lowest + span * sigmoid(dense(cosine(user, item))).

    dense is one linear unit, after hidden layers if wanted.
    """

    config_class = RecommenderNetConfig

    def __init__(
        self,
        config: RecommenderNetConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers; the shape is what `Bounded` needs."""
        super().__init__(config, shape, scale, embedding)
        self.dot_width = config.embedding_dim
        self.build_embeddings(config.embedding_dim)
        layers: list[nn.Module] = []
        for inner, outer in pairwise((1, *config.dense)):
            layers += [nn.Linear(inner, outer), nn.ReLU()]
        self.last = nn.Linear((1, *config.dense)[-1], 1)
        self.dense = nn.Sequential(*layers)
        if not config.dense:
            nn.init.ones_(self.last.weight)  # a weight near 0 would hide the cosine from its embeddings

    def user_side(self, user: Tensor) -> Side:
        """An embedding of length 1, or of 0 if it is nothing."""
        return Side(dot=normalize(self.embedded_users(user), dim=-1))

    def item_side(self, item: Tensor) -> Side:
        """An embedding of length 1, or of 0 if it is nothing."""
        return Side(dot=normalize(self.embedded_items(item), dim=-1))

    def output(self, total: Tensor) -> Tensor:
        """Cosines -> ratings, elementwise."""
        return super().output(self.last(self.dense(total.unsqueeze(-1))).squeeze(-1))

    def output_block(self, out: Tensor) -> None:
        """In place."""
        apply_in_tiles(self.output, out)
