"""The scale of a data set's ratings."""

from pydantic import model_validator

from widedeep.schema.records import Record


class RatingScale(Record):
    """Ratings are lowest, lowest + step, … highest; an item rated `liked` or more is relevant to the user."""

    lowest: float
    highest: float
    step: float
    liked: float
    implicit: bool = False  # whether there are no ratings, but ones that say: the user has had to do with the item

    @model_validator(mode="after")
    def _consistent(self) -> "RatingScale":
        if not self.lowest < self.highest:
            raise ValueError(f"lowest ({self.lowest:g}) must be below highest ({self.highest:g})")
        steps = self.span / self.step if self.step > 0 else 0.5
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(f"step ({self.step:g}) must divide {self.lowest:g} to {self.highest:g} into equal parts")
        if not self.lowest < self.liked <= self.highest:
            raise ValueError(f"liked ({self.liked:g}) must be above lowest and at most highest ({self.highest:g})")
        return self

    @property
    def span(self) -> float:
        """The scale's width, highest - lowest."""
        return self.highest - self.lowest

    @property
    def levels(self) -> tuple[float, ...]:
        """All ratings that the scale has, ascending."""
        return tuple(self.lowest + number * self.step for number in range(round(self.span / self.step) + 1))

    def __str__(self) -> str:
        return f"{self.lowest:g}-{self.highest:g}"
