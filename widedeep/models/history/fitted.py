"""Modules whose tensors are fitted in closed form before the first training step and do not change afterwards."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Users = TypeVar("Users", np.ndarray, Tensor)


class Fitted(nn.Module):
    """A module of such tensors: the artifact stores them, a checkpoint leaves them out."""


def fitted_names(model: nn.Module) -> set[str]:
    """Return the names of the tensors of all `Fitted` modules, as `state_dict` gives them."""
    return {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if isinstance(module, Fitted)
        for name, _ in module.named_buffers()
    }


def fold_of(user: Users, folds: int) -> Users:
    """Return the fold that users are dealt to: [n] user indexes -> [n]. Fit f of several leaves out fold f."""
    return user % folds


def fit_of(users: Tensor, without: Tensor | None, folds: int) -> Tensor:
    """Return the number of the fit by which users are answered, [u] int64.

    Args:
        users: [u], anything of theirs.
        without: [u] user indexes, where the fits shall not have seen the users; None: the last fit, to everybody.
        folds: how many parts the users are dealt to.

    """
    return torch.full(users.shape, folds, device=users.device) if without is None else fold_of(without.long(), folds)
