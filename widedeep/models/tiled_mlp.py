"""The MLP over all pairs of a block, in tiles small enough for the cache. Buffers are allocated once.

Legend: U users, I items, H first hidden width, h users and t items of a tile.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Pairs scored at once: their [pairs, H] activations then stay in a core's own cache (0.5 MB at H = 128).
TILE_PAIRS = 1024
TILE_ITEMS = 512
# On a GPU a tile must occupy all of it: 0.5 GB at H = 128.
GPU_TILE_PAIRS = 1 << 20
GPU_TILE_ITEMS = 1 << 15


def tile_size(device: torch.device) -> tuple[int, int]:
    """Return the number of users and of items in a tile."""
    pairs, wide = (TILE_PAIRS, TILE_ITEMS) if device.type == "cpu" else (GPU_TILE_PAIRS, GPU_TILE_ITEMS)
    return max(1, pairs // wide), wide


def tiles(out: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of each tile of a block [U, I]."""
    (users, items), (height, wide) = out.shape, tile_size(out.device)
    for left in range(0, items, wide):
        for top in range(0, users, height):
            yield slice(top, min(top + height, users)), slice(left, min(left + wide, items))


def score_mlp_tiled(users: Tensor, items: Tensor, layers: list[tuple[Tensor, Tensor]], out: Tensor, add: bool) -> None:
    """Write MLP(user part + item part) of all pairs.

    Args:
        users: [U, H] user parts of the first hidden layer.
        items: [I, H] item parts of the first hidden layer.
        layers: weights and biases from `fold_batch_norm`, each after a ReLU; the last has one output.
        out: [U, I], overwritten or added to.
        add: whether to add to `out`.

    """
    height, wide = tile_size(users.device)
    hidden = users.shape[1]
    widths = [hidden, *(weight.shape[1] for weight, _ in layers)]
    buffers = [torch.empty(height * wide, width, device=users.device) for width in widths]
    for rows, columns in tiles(out):
        user_part, item_part = users[rows], items[columns]  # [h, H], [t, H]
        count = len(user_part) * len(item_part)
        values = buffers[0][:count]
        torch.add(user_part[:, None], item_part[None], out=values.view(len(user_part), len(item_part), hidden))
        for (weight, bias), buffer in zip(layers, buffers[1:], strict=True):
            values = torch.addmm(bias, values.relu_(), weight, out=buffer[:count])
        tile = values.view(len(user_part), len(item_part))
        if add:
            out[rows, columns].add_(tile)
        else:
            out[rows, columns] = tile


def apply_in_tiles(function: Callable[[Tensor], Tensor], out: Tensor) -> None:
    """Apply an elementwise function to out [U, I] in place, one tile at a time."""
    for rows, columns in tiles(out):
        out[rows, columns] = function(out[rows, columns])
