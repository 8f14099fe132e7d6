"""Optimizers and learning-rate schedules."""

import math

import torch

from widedeep.config import OptimConfig
from widedeep.models import Recommender


def make_optimizer(model: Recommender, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimizer of a model: weight decay for the dense layers only.

    Embeddings of users and items outside a batch must stay as they are, so their decay is a penalty
    on the pairs of the batch (`embedding_decay`), not a shrinkage of the whole table.
    """
    tables = {id(parameter) for parameter in model.embedding_parameters()}
    dense = [p for p in model.parameters() if id(p) not in tables]
    groups = [
        {"params": dense, "weight_decay": config.weight_decay},
        {"params": model.embedding_parameters(), "weight_decay": 0.0},
    ]
    if config.name == "adam":
        return torch.optim.Adam(groups, lr=config.lr, fused=True)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, fused=True)
    if config.name == "adagrad":
        return torch.optim.Adagrad(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9)


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """The rate at a step (from 0) of all steps: a linear rise, then the schedule down to 0."""
    rise = config.warmup * steps
    if step < rise:
        return config.lr * min(1.0, (step + 1) / rise)
    done = (step - rise) / max(1.0, steps - rise)
    if config.schedule == "linear":
        return config.lr * (1.0 - done)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1.0 + math.cos(math.pi * done))
    return config.lr
