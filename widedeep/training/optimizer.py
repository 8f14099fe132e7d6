"""Optimizers and learning-rate schedules."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from widedeep.config.train import OptimConfig
from widedeep.models import Recommender
from widedeep.parallel.row_embeddings import RowEmbedding, RowOptimizer
from widedeep.parallel.world import World


class Optimizer:
    """Updates dense layers with an optimizer of torch, and embedding tables row by row.

    `weight_decay` applies to the dense layers, `embedding_decay` to the embeddings in the batch.
    """

    def __init__(self, model: Recommender, config: OptimConfig, world: World):
        self.config = config
        self.dense_parameters = [p for p in model.parameters() if p.requires_grad]
        self._dense = _dense_optimizer(model, self.dense_parameters, config)
        self._rows = RowOptimizer([m for m in model.modules() if isinstance(m, RowEmbedding)], config, world)

    def step(self, rate: float, measured: bool = False) -> Tensor | float:
        """Update the model with the gradients of the last backward pass at a learning rate, then clear them.

        Return the squared norm of the whole gradient before clipping, averaged over ranks, if `measured`; else 0.
        """
        begun = self._rows.start()  # other ranks answer while the dense layers are updated
        for group in self._dense.param_groups:
            group["lr"] = rate
        squared_norm = self._dense_squared_norm() if measured else 0.0
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(self.dense_parameters, self.config.clip_norm)
        self._dense.step()
        self._dense.zero_grad(set_to_none=True)
        return squared_norm + self._rows.step(begun, rate, measured)

    def _dense_squared_norm(self) -> Tensor:
        grads = [parameter.grad for parameter in self.dense_parameters if parameter.grad is not None]
        return nn.utils.get_total_norm(grads).square()

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs."""
        return {"dense": self._dense.state_dict(), "rows": self._rows.state_dict()}

    def own_state(self, states: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return this rank's part of what `state_dict` returned on each of any number of ranks."""
        return {"dense": states[0]["dense"], "rows": self._rows.own_state([state["rows"] for state in states])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._dense.load_state_dict(state["dense"])
        self._rows.load_state_dict(state["rows"])


def _dense_optimizer(model: Recommender, parameters: list[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": parameters}]  # may be empty: a model can be embedding tables alone
    rate, decay = config.lr, config.weight_decay
    if tables := {id(weight) for weight in model.item_embeddings()}:  # dense embeddings decay as a whole
        embeddings, layers = ([p for p in parameters if (id(p) in tables) == of] for of in (True, False))
        groups = [{"params": layers}, {"params": embeddings, "weight_decay": config.embedding_decay}]
    if config.name == "adam":
        return torch.optim.Adam(groups, lr=rate, weight_decay=decay, fused=True)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=True)
    if config.name == "adagrad":
        return torch.optim.Adagrad(groups, lr=rate, weight_decay=decay)
    return torch.optim.SGD(groups, lr=rate, weight_decay=decay, momentum=0.9)


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """Return the learning rate at a step (from 0) of `steps`: linear warmup, then the schedule."""
    warmup = config.warmup * steps
    if step < warmup:
        return config.lr * min(1.0, (step + 1) / warmup)
    done = (step - warmup) / max(1.0, steps - warmup)
    if config.schedule == "linear":
        return config.lr * (1.0 - done)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1.0 + math.cos(math.pi * done))
    return config.lr
