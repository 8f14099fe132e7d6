"""What a baseline is: one class, whose fields are the values to try and whose method fits them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from widedeep.baselines.biases import BiasFit, bias_predictor, fit_bias_grid
from widedeep.baselines.tuning import Candidate, Evaluator, Predictor, tune
from widedeep.config.fields import Count, Settings
from widedeep.data.rating_matrices import Splits
from widedeep.evaluation.reference_models import Biases

# Types of a baseline's fields: the values of one setting that tuning tries.
Counts = tuple[Annotated[Count, Field(ge=1)], ...]
NonNegatives = tuple[Annotated[float, Field(ge=0)], ...]
Positives = tuple[Annotated[float, Field(gt=0)], ...]

# Peak memory, for each pair of rated items, of a baseline that holds dense matrices of item pairs.
ITEM_PAIR_BYTES = 28


@dataclass(frozen=True)
class BaselineContext:
    """What a baseline is given: the ratings, and the tuned biases that several baselines start from."""

    splits: Splits
    evaluator: Evaluator
    bias_strengths: tuple[tuple[float, float], ...]  # (user prior, item prior) of the biases to try
    data: str  # prepared directory, as Spark reads it
    seed: int

    @cached_property
    def bias_fits(self) -> list[BiasFit]:
        """Biases of all strengths."""
        return fit_bias_grid(self.splits, self.bias_strengths)

    @cached_property
    def biases(self) -> Biases:
        """The biases with the lowest RMSE on valid."""
        candidates = (Candidate(settings, bias_predictor(biases)) for settings, biases in self.bias_fits)
        best = tune("biases", candidates, self.evaluator).ratings
        return next(biases for settings, biases in self.bias_fits if best and settings == best.settings)

    @property
    def bias_predictor(self) -> Predictor:
        """Predicts ratings by `biases`."""
        return bias_predictor(self.biases)


class Baseline(Settings, ABC):
    """A method that models are compared with.

    A subclass names itself and declares a field for each setting, with the values to try. The fields are its section
    of the TOML file and its flags. docs/adding-a-baseline.md shows an example.
    """

    # Name of its TOML section, of its directory of results, and for --only.
    name: ClassVar[str]

    @abstractmethod
    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Fit the training split with each combination of settings and yield what was fitted."""

    def memory_bytes(self, splits: Splits) -> int:
        """Estimate the peak memory of fitting; 0 if it needs little more than the ratings."""
        return 0

    @model_validator(mode="after")
    def _check_not_empty(self) -> "Baseline":
        empty = [name for name, values in self if values == ()]
        if empty:
            raise ValueError(f"{', '.join(empty)} must name at least one value")
        return self
