"""Neural collaborative filtering, NeuMF (He et al., 2017, arXiv:1708.05031), on ratings in place of clicks.

Legend: B pairs, G width of the product (GMF), M width of the MLP's embeddings.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from widedeep.config.fields import Count, Widths
from widedeep.config.models import TowerConfig
from widedeep.models.base import MakeEmbedding
from widedeep.models.bounded import Bounded
from widedeep.models.factorised import Side
from widedeep.parallel.rows import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class NCFConfig(TowerConfig):
    """ncf: generalised matrix factorisation plus an MLP, through a sigmoid (He et al., 2017)."""

    name: Literal["ncf"] = "ncf"
    hidden: Widths = Field(default=(64, 32, 16), description="widths of the hidden layers")
    gmf_dim: Count = Field(default=64, ge=1, description="width of the embeddings of the matrix factorisation")
    mlp_dim: Count = Field(default=64, ge=1, description="width of the embeddings of the MLP")


class NCF(Bounded):
    """rating = lowest + span * sigmoid(h . [user GMF * item GMF; MLP([user; item])]).

    GMF and MLP have embeddings of their own, which stand side by side in one table.
    """

    config_class = NCFConfig

    def __init__(
        self, config: NCFConfig, shape: dict[str, int], scale: RatingScale, embedding: MakeEmbedding = RowEmbedding
    ):
        """Build with empty buffers; the shape is what `Bounded` needs."""
        super().__init__(config, shape, scale, embedding)
        self.dot_width, self.mlp_width = config.gmf_dim, config.mlp_dim
        self.build_embeddings(config.gmf_dim + config.mlp_dim)
        self.build_tower(config.mlp_dim, config.mlp_dim, config)
        joint = nn.Linear(config.gmf_dim + config.hidden[-1], 1)  # the output layer over both, in two
        self.product = nn.Parameter(joint.weight[0, : config.gmf_dim].detach().clone())  # [G]
        with torch.no_grad():
            self.last.weight.copy_(joint.weight[:, config.gmf_dim :])

    def user_side(self, user: Tensor) -> Side:
        """The output layer's weights of the product come with the user."""
        product, deep = self.embedded_users(user).split([self.dot_width, self.mlp_width], dim=-1)
        return Side(dot=product * self.product, deep=deep)

    def item_side(self, item: Tensor) -> Side:
        """Both embeddings."""
        product, deep = self.embedded_items(item).split([self.dot_width, self.mlp_width], dim=-1)
        return Side(dot=product, deep=deep)
