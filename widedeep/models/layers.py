"""The layers that architectures with an MLP are made of.

Legend: B pairs, E inputs of a side, H hidden width.
"""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that a batch of one row passes too: it has no spread, so the running statistics serve."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, H] -> [B, H]."""
        if self.training and len(input) == 1:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


def split_linear(users: int, items: int, width: int) -> tuple[nn.Linear, nn.Linear]:
    """A linear layer over [user inputs; item inputs] as two whose outputs are summed, initialised as the one.

    Args:
        users: inputs of the user side.
        items: inputs of the item side.
        width: outputs.

    Returns:
        The user part, which carries the bias of the whole layer, and the item part.

    """
    first = nn.Linear(users + items, width)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")  # a side may have no inputs
        user_part, item_part = nn.Linear(users, width), nn.Linear(items, width, bias=False)
    with torch.no_grad():
        user_part.weight.copy_(first.weight[:, :users])
        user_part.bias.copy_(first.bias)
        item_part.weight.copy_(first.weight[:, users:])
    return user_part, item_part


def hidden_layers(widths: Sequence[int], batch_norm: bool, dropout: float) -> nn.Sequential:
    """What follows the first linear layer: [B, widths[0]] -> [B, widths[-1]]; the input is overwritten."""
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


def folded(modules: Iterable[nn.Module], width: int) -> tuple[tuple[Tensor, Tensor], list[tuple[Tensor, Tensor]]]:
    """Layers as they score: batch norm folded into what it follows, dropout gone.

    Args:
        modules: `hidden_layers` and a last linear layer.
        width: H, of their input.

    Returns:
        scale and shift [H] of the input; then for each linear layer its weights [in, out] and bias [out].
        A ReLU stands before each of these.

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
