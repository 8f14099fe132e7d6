"""Reference models, which a model must beat to be worth its cost: the global mean, and user + item biases."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from widedeep.data.batches import RatingSource
from widedeep.evaluation.rating_errors import RatingErrors
from widedeep.parallel.world import World

SWEEPS = 4
# (user, item) damping: the bias of a user or item is shrunk as if it had this many further ratings at zero bias.
STRENGTHS = ((3.0, 1.0), (5.0, 3.0), (10.0, 5.0), (20.0, 10.0))


@dataclass
class Biases:
    """mean + user bias + item bias, the biases shrunk towards 0 (Koren, 2009, section 2.1)."""

    mean: float
    user: Tensor  # [users] float64
    item: Tensor  # [items] float64

    def predict(self, user: Tensor, item: Tensor) -> Tensor:
        """[n], [n] -> [n] float64."""
        return self.mean + self.user[user] + self.item[item]


def fit_biases(
    loader: RatingSource,
    world: World,
    users: int,
    items: int,
    mean: float,
    strengths: Sequence[tuple[float, float]] = STRENGTHS,
) -> list[Biases]:
    """Fit both biases by alternating least squares, once for each of `strengths`.

    One pass over the ratings serves all strengths, so streaming reads them 2 x SWEEPS times.
    """
    device = world.device
    fits = [
        Biases(mean, *(torch.zeros(n, dtype=torch.float64, device=device) for n in (users, items))) for _ in strengths
    ]
    for _ in range(SWEEPS):
        for side in ("item", "user"):
            size = items if side == "item" else users
            totals = torch.zeros(len(fits), size, dtype=torch.float64, device=device)
            counts = torch.zeros(size, dtype=torch.float64, device=device)
            for batch in loader.batches("train"):
                index = (batch.item if side == "item" else batch.user).long()
                counts += torch.bincount(index, minlength=size)
                for total, fit in zip(totals, fits, strict=True):
                    other = fit.user[batch.user] if side == "item" else fit.item[batch.item]
                    total += torch.bincount(index, weights=batch.rating.double() - mean - other, minlength=size)
            world.sum(totals)
            world.sum(counts)
            for total, fit, (user_prior, item_prior) in zip(totals, fits, strengths, strict=True):
                prior = item_prior if side == "item" else user_prior
                setattr(fit, side, total / (counts + prior))
    return fits


def measure_reference_models(
    loader: RatingSource, world: World, users: int, items: int, mean: float
) -> tuple[dict, Biases]:
    """Measure the global mean and user + item biases on test; the strength of the biases is chosen on valid."""
    fits = fit_biases(loader, world, users, items, mean)
    valid = _valid_rmses(loader, world, fits)
    best = min(range(len(fits)), key=lambda i: valid[i] if valid[i] == valid[i] else 0.0)
    constant = Biases(mean, torch.zeros_like(fits[0].user), torch.zeros_like(fits[0].item))
    metrics = {
        "global_mean": _errors(loader, world, constant, "test"),
        "bias": _errors(loader, world, fits[best], "test")
        | dict(zip(("user_prior", "item_prior"), STRENGTHS[best], strict=True)),
    }
    return metrics, fits[best]


def valid_rmse_of_biases(loader: RatingSource, world: World, users: int, items: int, mean: float) -> float:
    """Return the RMSE of user + item biases on valid, by the strength that is best there."""
    return min(_valid_rmses(loader, world, fit_biases(loader, world, users, items, mean)))


def _valid_rmses(loader: RatingSource, world: World, fits: Sequence[Biases]) -> list[float]:
    return [_errors(loader, world, fit, "valid")["rmse"] for fit in fits]


def _errors(loader: RatingSource, world: World, fit: Biases, split: str) -> dict[str, float]:
    errors = RatingErrors(world.device, loader.scale)
    for batch in loader.batches(split):
        errors.add(fit.predict(batch.user, batch.item), batch.rating)
    return errors.result(world)
