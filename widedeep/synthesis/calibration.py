"""Build the planted model so that its ratings have the official histogram, and measure the reference model on it."""

import math
from dataclasses import replace

import numpy as np

from widedeep.evaluation.damped_biases import fit_damped_biases
from widedeep.synthesis.anime import Floats, draw_anime
from widedeep.synthesis.planted_model import (
    CALIBRATION_BLOCKS,
    HELD_OUT_STREAM,
    HISTOGRAM,
    USER_BIAS_SD,
    PlantedModel,
    draw_clusters,
    expectation_table,
)
from widedeep.synthesis.ratings import Ratings, draw_latent, rate
from widedeep.synthesis.sizes import USERS_PER_BLOCK, Sizes


def plant(seed: int, sizes: Sizes, noise: float) -> PlantedModel:
    """Draw the anime and the clusters of users, then fit the scale of taste and the thresholds.

    Both are fitted on a bounded sample of the blocks that will be written, so that even a small dump has the
    official histogram.
    """
    anime = draw_anime(seed, sizes.anime)
    model = PlantedModel(seed, sizes, noise, anime, *draw_clusters(seed, anime))
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


def anime_means(model: PlantedModel, sample: list[Ratings]) -> Floats:
    """Return (A,) expected mean ratings: those of the sample, shrunk to what the quality predicts."""
    item = np.concatenate([ratings.item for ratings in sample])
    expected = np.concatenate([ratings.expected for ratings in sample])
    spread = math.sqrt(model.noise**2 + USER_BIAS_SD**2 + 1)
    prior = np.interp(model.anime.quality + model.taste_mean, *expectation_table(model.thresholds, spread))
    prior += (expected - prior[item]).mean()
    count = np.bincount(item, minlength=len(prior))
    return (np.bincount(item, expected, len(prior)) + 5 * prior) / (count + 5)


def bias_rmse(seed: int, sample: list[Ratings], damping: float = 5.0, rounds: int = 5) -> float:
    """Return the RMSE of the damped user + item biases on a held-out tenth of the sample; nan if it is too small."""
    user = np.concatenate([ratings.user + USERS_PER_BLOCK * number for number, ratings in enumerate(sample)])
    item = np.concatenate([ratings.item for ratings in sample])
    rating = np.concatenate([ratings.rating for ratings in sample]).astype(np.float64)
    held_out = np.random.default_rng([seed, HELD_OUT_STREAM]).random(len(rating)) < 0.1
    if held_out.all() or not held_out.any():
        return math.nan
    train = ~held_out
    shape = (int(user.max()) + 1, int(item.max()) + 1)
    biases = fit_damped_biases(user[train], item[train], rating[train], shape, (damping, damping), rounds)
    error = rating[held_out] - np.clip(biases.predict(user[held_out], item[held_out]), 1, 10)
    return float(np.sqrt((error**2).mean()))
