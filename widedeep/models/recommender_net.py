"""RecommenderNet, as notebooks on these ratings define it: a sigmoid over the cosine of two embeddings.

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
from widedeep.models.factorised import SideTerms
from widedeep.models.tiled_mlp import apply_in_tiles
from widedeep.parallel.row_embeddings import RowEmbedding
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

    dense is one linear unit, after hidden layers if the config names any.
    """

    config_class = RecommenderNetConfig

    def __init__(
        self,
        config: RecommenderNetConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers; `shape` has the sizes that `Factorised` needs."""
        super().__init__(config, shape, scale, embedding)
        self.dot_width = config.embedding_dim
        self.build_embeddings(config.embedding_dim)
        layers: list[nn.Module] = []
        for inner, outer in pairwise((1, *config.dense)):
            layers += [nn.Linear(inner, outer), nn.ReLU()]
        self.last = nn.Linear((1, *config.dense)[-1], 1)
        self.dense = nn.Sequential(*layers)
        if not config.dense:
            nn.init.ones_(self.last.weight)  # with a weight near 0, hardly any gradient would reach the embeddings

    def user_terms(self, user: Tensor) -> SideTerms:
        """Return the terms of users: embeddings scaled to length 1; zeros stay zeros."""
        return SideTerms(dot=normalize(self.embed_users(user), dim=-1))

    def item_terms(self, item: Tensor) -> SideTerms:
        """Return the terms of items: embeddings scaled to length 1; zeros stay zeros."""
        return SideTerms(dot=normalize(self.embed_items(item), dim=-1))

    def output(self, total: Tensor) -> Tensor:
        """Return the ratings of cosines, elementwise."""
        return super().output(self.last(self.dense(total.unsqueeze(-1))).squeeze(-1))

    def output_block(self, out: Tensor) -> None:
        """Turn cosines into ratings in place."""
        apply_in_tiles(self.output, out)
