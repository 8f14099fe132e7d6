"""Lists for a person by their own ratings, whether they are in the data or not.

Legend: L rated items, S seen items.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from widedeep.common.command import presets, read_toml
from widedeep.common.errors import InputError
from widedeep.data.rating_lists import ListEntry
from widedeep.models import ARCHITECTURES, REGISTRY, Recommender
from widedeep.models.artifact import Artifact
from widedeep.models.base import Histories
from widedeep.schema.recommendations import Recommendation, parse_row
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.reasons import Reasons
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.title_search import TitleIndex
from widedeep.scoring.user_lists import list_batch


class OwnRatings(NamedTuple):
    """A person's list, as far as the data knows its items."""

    items: np.ndarray  # [L] int32 indexes of the rated items
    ratings: np.ndarray  # [L] float32
    seen: np.ndarray  # [S] int64 indexes of the items that are not to be recommended, the rated ones among them
    unrated: int  # entries that were seen but not rated
    planned: int  # entries to be watched later and not rated; they may be recommended
    remarks: tuple[str, ...]  # one for each title that was guessed and each rating that a later one replaced
    not_found: tuple[str, ...]  # one for each entry whose item is not in the data


def match_entries(
    entries: Sequence[ListEntry], item_of: Mapping[int | str, int], titles: TitleIndex, most_titles: int | None = None
) -> OwnRatings:
    """Find the items of a person's list: by their item_id, or by their title if there is none.

    Args:
        entries: the list.
        item_of: identifier -> item index.
        titles: their titles.
        most_titles: entries whose titles are searched for, at some milliseconds each; those beyond it count as not
            found. None: all are.

    """
    ratings: dict[int, float] = {}
    unrated, planned = [], []
    remarks, not_found, searched = [], [], 0
    for entry in entries:
        searched += entry.item_id not in item_of
        if most_titles is not None and searched > most_titles and entry.item_id not in item_of:
            not_found.append(f"{entry.place}: not searched for, after {most_titles} others that had no known item_id")
            continue
        try:
            item, guess = find_item(entry, item_of, titles)
        except InputError as error:
            not_found.append(f"{entry.place}: {error}")
            continue
        title = titles.shown[item]
        if guess:
            remarks.append(guess)
        if entry.rating is None:
            (planned if entry.planned else unrated).append(item)
            continue
        if item in ratings:
            remarks.append(f"{entry.place}: {title!r} is there twice; its rating here, {entry.rating:g}, counts")
        ratings[item] = entry.rating
    return OwnRatings(
        items=np.fromiter(ratings, np.int32),
        ratings=np.fromiter(ratings.values(), np.float32),
        seen=np.array(sorted({*unrated, *ratings}), np.int64),
        unrated=len(unrated),
        planned=len(planned),
        remarks=tuple(remarks),
        not_found=tuple(not_found),
    )


def find_item(entry: ListEntry, item_of: Mapping[int | str, int], titles: TitleIndex) -> tuple[int, str | None]:
    """Return the item of an entry, and a remark if its title was guessed.

    Args:
        entry: of a list.
        item_of: identifier -> item.
        titles: of all items.

    Raises:
        InputError: the data does not have the item.

    """
    if entry.item_id is None:
        item = titles.match(entry.title).best
        same = titles.shown[item].casefold() == entry.title.casefold()
        return item, None if same else f"{entry.place}: {entry.title!r} is taken for {titles.shown[item]!r}"
    if entry.item_id in item_of:
        return item_of[entry.item_id], None
    # The title is only reported: one that reads alike is likely that of another part of the series.
    near = titles.nearest(entry.title)
    raise InputError(
        f"item_id {entry.item_id} is not in the data" + (f"; nearest to {entry.title!r} is {near!r}" if near else "")
    )


def require_histories(model: Recommender, run: object) -> None:
    """Raise InputError, naming the presets that can, if a model cannot serve people who are not in the data."""
    if model.encodes_histories:
        return
    default = ARCHITECTURES[0].name()
    names = {preset: read_toml(file).get("model", {}).get("name", default) for preset, file in presets("train").items()}
    able = [preset for preset, name in names.items() if REGISTRY[name].encodes_histories]
    remedy = f"train with --config {' or '.join(able)}" if able else "no preset of this release can"
    raise InputError(
        f"the model in {run} ({model.name()}) knows people by their index alone, so it cannot recommend to others: "
        f"{remedy}"
    )


def as_histories(own: OwnRatings) -> Histories:
    """Return a person's ratings as the history of one person: [1, L]."""
    return Histories(torch.from_numpy(own.items)[None], torch.from_numpy(own.ratings)[None])


def recommend_to(
    artifact: Artifact,
    titles: pa.Array,
    own: OwnRatings,
    top_n: int,
    rules: ListRules | None = None,
    scorer: Scorer | None = None,
) -> list[Recommendation]:
    """Return the best unseen items of a person, best first.

    Args:
        artifact: a model that `encodes_histories`.
        titles: of all items.
        own: the person's ratings.
        top_n: length of the list; it is shorter only if there are fewer items.
        rules: what the list may hold and how it is chosen; None: it has the best items.
        scorer: of the model; None: a new one, which encodes all items first.

    """
    histories = as_histories(own)
    scorer = scorer or Scorer(artifact.model, len(artifact.item_id))
    if rules is None:
        top = scorer.top_of_histories(histories, [own.seen], top_n)
    else:
        pool = scorer.top_of_histories(histories, rules.leave_out([own.seen]), rules.config.pool(top_n))
        top = rules.choose(pool, top_n)
    reasons = None
    if artifact.model.explains:
        reasons = Reasons.none(*top.items.shape)
        explanation = scorer.explain_histories(histories, top.items.clip(min=0))
        reasons.fill(np.array([0]), explanation, top.affinities)
    nobody = np.array([0 if artifact.ids.type == "number" else ""])
    batch = list_batch(artifact, titles, nobody, top, reasons)
    return [parse_row(row, artifact.ids) for row in batch.to_pylist()]
