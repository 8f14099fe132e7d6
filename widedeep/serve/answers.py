"""What the API takes and answers; its OpenAPI document is made of these."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field

from widedeep.schema.records import Record

MOST_ENTRIES = 20_000  # of a person's list
Source = Literal["stored", "model", "most_rated"]  # of a list


class Item(Record):
    """An item as people see it."""

    item_id: int | str
    title: str
    titles: dict[str, str] = Field(description="further titles by language")
    facts: dict[str, list[str]] = Field(description="categories and their values, such as genres; empty ones left out")
    numbers: dict[str, float] = Field(description="such as year, episodes, and ratings: the number of training ratings")
    url: str | None = Field(description="page of the item elsewhere")
    image_url: str | None = Field(description="picture; null unless the server shows pictures")


class ReasonAnswer(Record):
    """A rating of the person that speaks for a recommendation."""

    item_id: int | str
    title: str
    rating: float = Field(description="the person's own")
    share: float = Field(description="of what all ratings of the person add to the affinity, from 0 to 1")


class RecommendedItem(Record):
    """An item of a list."""

    rank: int
    affinity: float = Field(description="what the list is sorted by; higher is better")
    predicted_rating: float | None = Field(description="on the scale of the ratings; null if it is not predicted")
    reasons: tuple[ReasonAnswer, ...] = Field(description="the strongest first; empty if the model does not tell")
    item: Item


class ListAnswer(Record):
    """A list of recommendations."""

    user_id: int | str | None = Field(description="null for a list by given ratings")
    known: bool = Field(description="whether the model knows ratings of the person; if not, the list is everybody's")
    source: Source = Field(
        description="stored: written by the batch job; model: computed now; most_rated: the same for all unknown people"
    )
    recommendations: tuple[RecommendedItem, ...]
    used_ratings: int | None = Field(description="given ratings that the list is by; null for users of the data")
    remarks: tuple[str, ...] = Field(description="what was made of given ratings, such as a title that was guessed")
    not_found: tuple[str, ...] = Field(description="given items that the data does not have")


class SimilarItem(Record):
    """A neighbour of an item."""

    cosine: float = Field(description="of the learnt vectors, at most 1")
    item: Item


class SimilarAnswer(Record):
    """The items most similar to one."""

    item: Item
    similar: tuple[SimilarItem, ...]


class SearchAnswer(Record):
    """The items whose titles are like a query, the most similar first."""

    items: tuple[Item, ...]


class FilterValue(Record):
    """A value of a category."""

    value: str
    items: int = Field(description="number of items that have it")


class FilterAnswer(Record):
    """A filter of lists."""

    name: str
    kind: Literal["choice", "range"] = Field(
        description="choice: NAME=VALUE, which may be repeated for any of them, or not_NAME=VALUE; range: NAME_min=, "
        "NAME_max=, or NAME= for one number"
    )
    values: tuple[FilterValue, ...] = Field(default=(), description="of a choice, the most frequent first")
    lowest: float | None = Field(default=None, description="of a range")
    highest: float | None = Field(default=None, description="of a range")


class FiltersAnswer(Record):
    """All filters of lists."""

    filters: tuple[FilterAnswer, ...]
    hidden: tuple[str, ...] = Field(description="what is left out unless include_hidden is true, as NAME=VALUE")


class ModelAnswer(Record):
    """What the model is and how good it is."""

    model_config = ConfigDict(protected_namespaces=())

    name: str = Field(description="architecture")
    sha256: str = Field(description="of the model's file")
    data_digest: str
    dataset: str
    users: int
    items: int
    train_ratings: int
    lowest: float = Field(description="rating of the scale")
    highest: float
    step: float
    liked: float
    answers_ratings: bool = Field(description="whether it makes lists by given ratings")
    lists_of_this_model: bool = Field(description="whether the stored lists come from it")
    metrics: dict[str, object] = Field(description="metrics.json of the training, measured on ratings never seen")


class HealthAnswer(Record):
    """Whether the server can answer, and with what."""

    status: Literal["ok"]
    model: str = Field(description="sha256 of the model's file")
    lists: str = Field(description="sha256 of the model that the stored lists come from")
    loaded_at: str = Field(description="UTC")


class GivenRating(Record):
    """A rating of the person; the item is named by its identifier or by a title."""

    item_id: int | str | None = None
    title: str = Field(default="", max_length=500)
    rating: float | None = Field(default=None, description="null: seen, but not rated", allow_inf_nan=False)


class GivenRatings(Record):
    """The ratings of a person, who need not be in the data."""

    ratings: tuple[GivenRating, ...] = Field(max_length=MOST_ENTRIES)


class ErrorAnswer(Record):
    """What is wrong, in a sentence."""

    detail: str


def sentence(mistakes: Sequence[Any]) -> str:
    """Return what pydantic says is wrong: up to three mistakes with their places."""
    told = (f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}" for mistake in mistakes[:3])
    more = f"; and {len(mistakes) - 3} more" if len(mistakes) > 3 else ""
    return "; ".join(told) + more
