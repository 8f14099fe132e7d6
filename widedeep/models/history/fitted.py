"""Modules whose tensors are fitted in closed form before the first training step and do not change afterwards."""

from torch import nn


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
