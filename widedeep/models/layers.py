"""Layers of the architectures with an MLP.

Legend: B pairs, H hidden width.
"""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that also accepts a training batch of one row: it then uses the running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise activations: [B, H] -> [B, H]."""
        if self.training and len(input) == 1:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


def split_linear(users: int, items: int, width: int) -> tuple[nn.Linear, nn.Linear]:
    """Return two linear layers whose outputs add up to one linear layer over [user inputs; item inputs].

    Their weights are initialised as those of the one layer would be.

    Args:
        users: number of inputs from the user.
        items: number of inputs from the item.
        width: number of outputs.

    Returns:
        The user part, which has the bias of the whole layer, and the item part.

    """
    first = nn.Linear(users + items, width)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")  # a user or item may have no inputs
        user_part, item_part = nn.Linear(users, width), nn.Linear(items, width, bias=False)
    with torch.no_grad():
        user_part.weight.copy_(first.weight[:, :users])
        user_part.bias.copy_(first.bias)
        item_part.weight.copy_(first.weight[:, users:])
    return user_part, item_part


def hidden_layers(widths: Sequence[int], batch_norm: bool, dropout: float) -> nn.Sequential:
    """Return the MLP after its first linear layer: [B, widths[0]], which it overwrites -> [B, widths[-1]]."""
    layers: list[nn.Module] = []
    for index, width in enumerate(widths):
        if index:
            layers.append(nn.Linear(widths[index - 1], width))
        if batch_norm:
            layers.append(BatchNorm(width))
        layers.append(nn.ReLU(inplace=True))
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def fold_batch_norm(
    modules: Iterable[nn.Module], width: int
) -> tuple[tuple[Tensor, Tensor], list[tuple[Tensor, Tensor]]]:
    """Return the layers for scoring: batch norm is folded into the linear layer before it, dropout is left out.

    Args:
        modules: `hidden_layers` and a last linear layer.
        width: H, the width of their input.

    Returns:
        The scale and shift [H] of the input; then for each linear layer its weights [in, out] and bias [out].
        A ReLU comes before each of these layers.

    """
    device = next(p.device for module in modules for p in module.parameters())
    scale, shift = torch.ones(width, device=device), torch.zeros(width, device=device)
    layers: list[tuple[Tensor, Tensor]] = []
    for module in modules:
        if isinstance(module, nn.Linear):
            layers.append((module.weight.t(), module.bias))
        elif isinstance(module, nn.BatchNorm1d):
            assert module.running_var is not None
            assert module.running_mean is not None
            a = module.weight * torch.rsqrt(module.running_var + module.eps)
            b = module.bias - module.running_mean * a
            if layers:
                weight, bias = layers[-1]
                layers[-1] = weight * a, bias * a + b
            else:
                scale, shift = a, b
    return (scale, shift), layers
