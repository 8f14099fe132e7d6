"""How near the nearest items of a history are to a target, by how many users rated both.

The attention adds up the whole history; these terms tell a target that a few items call for from one that many hint at.
"""

import torch
from torch import Tensor

# Closeness is n_both / (n_target ^ power x n_past ^ (1 - power) + DAMPING), for each power: how likely are those who
# rated the item of the history to have rated the target; how likely the other way round; and a mean of both.
POWERS = (0.0, 0.7, 1.0)
DAMPING = 20.0
NEAREST = 5
NUMBERS = 3 * len(POWERS)


def nearest(together: Tensor, target: Tensor, past: Tensor, weight: Tensor) -> list[Tensor]:
    """Return for each power the closeness x weight of the nearest item, of the nearest five, and of all together.

    Args:
        together: [u, T, L] number of users who rated both, without the user.
        target: [u, T] number of users who rated the target, without the user.
        past: [u, L] number of users who rated the item of the history.
        weight: [u, L] preference of the rating, 0 where there is none.

    Returns:
        [u, T] each.

    """
    of_target, of_past = target.clamp(min=1.0)[:, :, None], past.clamp(min=1.0)[:, None]
    product = together * weight[:, None]
    found: list[Tensor] = []
    for power in POWERS:
        closeness = product / (_power(of_target, power) * _power(of_past, 1.0 - power)).add_(DAMPING)
        every, best = closeness.sum(2), largest(closeness, min(NEAREST, closeness.shape[2]))
        found += [best.amax(2), best.sum(2), every]
    return found


def largest(values: Tensor, count: int) -> Tensor:
    """Return the largest numbers of the last dimension in any order, [..., L] -> [..., count]; `values` may change."""
    if values.device.type != "cpu":
        return values.topk(count, sorted=False).values
    numbers = values.numpy()
    numbers.partition(-count)  # in vectors: a quarter of the time of `topk`
    return torch.from_numpy(numbers[..., -count:])


def _power(base: Tensor, exponent: float) -> Tensor:
    """Return a power; of exponent 0 as a single 1, which makes a product with it no larger."""
    return base**exponent if exponent else base.new_ones(())
