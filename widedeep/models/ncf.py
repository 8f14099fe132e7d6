"""Neural collaborative filtering, NeuMF (He et al., 2017, arXiv:1708.05031), trained on ratings instead of clicks.

Legend: B pairs, G width of the embeddings of the product (GMF), M width of the embeddings of the MLP.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from widedeep.config.fields import Count, Widths
from widedeep.config.models import TowerConfig
from widedeep.models.base import MakeEmbedding
from widedeep.models.bounded import Bounded
from widedeep.models.factorised import SideTerms
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class NCFConfig(TowerConfig):
    """ncf: generalised matrix factorisation plus an MLP, through a sigmoid (He et al., 2017)."""

    name: Literal["ncf"] = "ncf"
    hidden: Widths = Field(default=(64, 32, 16), description="widths of the hidden layers")
    gmf_dim: Count = Field(default=64, ge=1, description="width of the embeddings of the matrix factorisation")
    mlp_dim: Count = Field(default=64, ge=1, description="width of the embeddings of the MLP")


class NCF(Bounded):
    """rating = lowest + span * sigmoid(h . [user GMF * item GMF; MLP([user; item])]).

    GMF and MLP have separate embeddings, stored side by side in one table.
    """

    config_class = NCFConfig

    def __init__(
        self, config: NCFConfig, shape: dict[str, int], scale: RatingScale, embedding: MakeEmbedding = RowEmbedding
    ):
        """Build with empty buffers; `shape` has the sizes that `Factorised` needs."""
        super().__init__(config, shape, scale, embedding)
        self.dot_width, self.mlp_width = config.gmf_dim, config.mlp_dim
        self.build_embeddings(config.gmf_dim + config.mlp_dim)
        self.build_tower(config.mlp_dim, config.mlp_dim, config)
        joint = nn.Linear(config.gmf_dim + config.hidden[-1], 1)  # the output layer over both, split below
        self.product = nn.Parameter(joint.weight[0, : config.gmf_dim].detach().clone())  # [G]
        with torch.no_grad():
            self.last.weight.copy_(joint.weight[:, config.gmf_dim :])

    def user_terms(self, user: Tensor) -> SideTerms:
        """Return the terms of users; their dot includes the output layer's weights of the product."""
        product, deep = self.embed_users(user).split([self.dot_width, self.mlp_width], dim=-1)
        return SideTerms(dot=product * self.product, deep=deep)

    def item_terms(self, item: Tensor) -> SideTerms:
        """Return the terms of items: their two embeddings."""
        product, deep = self.embed_items(item).split([self.dot_width, self.mlp_width], dim=-1)
        return SideTerms(dot=product, deep=deep)
