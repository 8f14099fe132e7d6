"""Build the planted model so that its ratings have the official histogram, and measure what is expected of models."""

import math
from dataclasses import replace

import numpy as np

from widedeep.evaluation.damped_biases import fit_damped_biases
from widedeep.synthesis.catalogue import Floats, build_catalogue
from widedeep.synthesis.planted_model import (
    CALIBRATION_BLOCKS,
    HELD_OUT_STREAM,
    HISTOGRAM,
    USER_BIAS_SD,
    Planted,
    draw_clusters,
    expectation_table,
)
from widedeep.synthesis.ratings import Ratings, draw_latent, rate
from widedeep.synthesis.sizes import BLOCK, Sizes


def plant(seed: int, sizes: Sizes, noise: float) -> Planted:
    """Draw the catalogue and the clusters, then fit the scale of taste and the thresholds.

    Both come from a bounded sample of the very blocks that will be written, so that even a small
    dump has the official histogram.
    """
    catalogue = build_catalogue(seed, sizes.anime)
    model = Planted(seed, sizes, noise, catalogue, *draw_clusters(seed, catalogue))
    sample = np.unique(np.linspace(0, sizes.blocks - 1, CALIBRATION_BLOCKS).round().astype(int))
    latents = [draw_latent(model, int(block)) for block in sample]
    taste = np.concatenate([latent.taste for latent in latents]).astype(np.float64)
    scale = float(1 / taste.std()) if taste.std() > 0 else 1.0
    y = np.concatenate([latent.bias + np.float32(scale) * latent.taste + latent.noise for latent in latents])
    levels = np.cumsum(HISTOGRAM)[:-1] / sum(HISTOGRAM)
    cuts = np.quantile(y.astype(np.float64), levels).astype(np.float32)
    thresholds = tuple(float(cut) for cut in cuts)
    model = replace(model, taste_scale=scale, taste_mean=float(taste.mean()) * scale, thresholds=thresholds)
    drawn = [rate(model, latent) for latent in latents]
    return replace(model, anime_mean=anime_means(model, drawn), bias_rmse=bias_rmse(seed, drawn))


def anime_means(model: Planted, sample: list[Ratings]) -> Floats:
    """(A,) expected mean rating of each anime: of the sample, and by its quality where that is small."""
    item = np.concatenate([ratings.item for ratings in sample])
    expected = np.concatenate([ratings.expected for ratings in sample])
    spread = math.sqrt(model.noise**2 + USER_BIAS_SD**2 + 1)
    prior = np.interp(model.catalogue.quality + model.taste_mean, *expectation_table(model.thresholds, spread))
    prior += (expected - prior[item]).mean()
    count = np.bincount(item, minlength=len(prior))
    return (np.bincount(item, expected, len(prior)) + 5 * prior) / (count + 5)


def bias_rmse(seed: int, sample: list[Ratings], damping: float = 5.0, rounds: int = 5) -> float:
    """RMSE of mean + damped user bias + damped anime bias on every tenth rating of the sample, not fitted on."""
    user = np.concatenate([ratings.user + BLOCK * place for place, ratings in enumerate(sample)])
    item = np.concatenate([ratings.item for ratings in sample])
    rating = np.concatenate([ratings.rating for ratings in sample]).astype(np.float64)
    held = np.random.default_rng([seed, HELD_OUT_STREAM]).random(len(rating)) < 0.1
    if held.all() or not held.any():
        return math.nan
    fitted = ~held
    shape = (int(user.max()) + 1, int(item.max()) + 1)
    biases = fit_damped_biases(user[fitted], item[fitted], rating[fitted], shape, (damping, damping), rounds)
    error = rating[held] - np.clip(biases.predict(user[held], item[held]), 1, 10)
    return float(np.sqrt((error**2).mean()))
