"""Which column of a file plays which role, and how much of it is missing or not understood."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from widedeep.data.rating_scales import smallest_step
from widedeep.schema.dataset import Dataset, EntityFile, Identifiers, ListSource, RatingsFile
from widedeep.spark.preparation.fields import column_named, fields_of
from widedeep.spark.preparation.ingest import CORRUPT, ID, LINE, REASON
from widedeep.spark.preparation.text_parsers import category, is_missing

# How `typed_ratings` names what it makes of a role; prefixed, as the file may have columns of these names.
TYPED = {"user": "user_id", "item": "item_id", "rating": "rating", "time": "time"}


class RoleReport(NamedTuple):
    """A column in a role."""

    role: str
    column: str
    type: str
    missing: float  # share of the rows
    not_understood: float  # share of the rows: there is a text, but its parser makes nothing of it
    example: str | None  # a text that is not missing
    odd_example: str | None  # one that is not understood


class Role(NamedTuple):
    """A role, its column's text, and whether the parser understands it."""

    role: str
    column: str
    type: str
    text: Column
    understood: Column
    is_id: bool = False  # of an identifier, no word means that it is missing


class ScaleSeen(NamedTuple):
    """The ratings of a sample, without marks of entries without a score."""

    lowest: float
    highest: float
    step: float | None  # the smallest distance of two ratings; None if all are the same
    levels: int


def rating_roles(raw: DataFrame, typed: DataFrame, dataset: Dataset) -> tuple[RoleReport, ...]:
    """The roles of the ratings file.

    Args:
        raw: from `read_rows`.
        typed: the same rows from `typed_ratings`.
        dataset: says which column is what.

    """
    described = dataset.ratings
    values = typed.select(LINE, *(F.col(name).alias(f"_typed_{role}") for role, name in TYPED.items()))
    frame = raw.where(F.col(CORRUPT).isNull()).join(values, on=LINE, how="inner")
    columns = {"user": described.user, "item": described.item, "rating": described.rating, "time": described.time}
    types = {"user": dataset.ids.type, "item": dataset.ids.type, "rating": "number", "time": "time"}
    return _report(
        frame,
        [
            Role(
                role,
                name,
                types[role],
                column_named(name),
                F.col(f"_typed_{role}").isNotNull(),
                role in ("user", "item"),
            )
            for role, name in columns.items()
            if name is not None
        ],
    )


def entity_roles(rows: DataFrame, file: EntityFile, ids: Identifiers) -> tuple[RoleReport, ...]:
    """The roles of the items' or the users' file; `rows` are from `entity_rows`."""
    fields = fields_of(file)
    roles = [Role("id", file.id, ids.type, column_named(file.id), F.col(ID).isNotNull(), is_id=True)]
    if file.name is not None:
        name = column_named(file.name.column)
        roles.append(Role("name", file.name.column, "text", name, category(name).isNotNull()))
    for field in (*fields.numeric, *fields.category):
        source = file.numeric.get(field.name) or file.category[field.name]
        kind = "category" if source.parse == "text" else source.parse
        roles.append(Role(field.name, field.source, kind, column_named(field.source), field.parse.isNotNull()))
    for field in fields.multi_hot:
        roles.append(_list_role(field.name, file.multi_hot[field.name], field.parse))
    for field in fields.text:
        roles.append(Role(field.name, field.source, "text", column_named(field.source), field.parse != ""))
    return _report(rows.where(~F.col(REASON).eqNullSafe("wrong_arity")), roles)


def _list_role(name: str, source: ListSource, values: Column) -> Role:
    if source.column is None:  # no flag may be set
        label = f"{source.flags[0]} … ({len(source.flags)} columns)"
        return Role(name, label, "flags", column_named(source.flags[0]), F.lit(True))
    return Role(name, source.column, f"list by {source.separator!r}", column_named(source.column), F.size(values) > 0)


def _report(frame: DataFrame, roles: Sequence[Role]) -> tuple[RoleReport, ...]:
    """Count all roles of a sample here: to compile so many aggregates would take Spark longer than all else."""
    cells: list[Column] = []
    for role in roles:
        missing = role.text.isNull() | (F.trim(role.text) == "") if role.is_id else is_missing(role.text)
        cells += [role.text, missing, role.understood]
    rows = frame.select(*(cell.alias(f"cell {number}") for number, cell in enumerate(cells))).collect()
    return tuple(_count(role, [row[3 * n : 3 * n + 3] for row in rows]) for n, role in enumerate(roles))


def _count(role: Role, cells: Sequence[Sequence[Any]]) -> RoleReport:
    """The report of a role, from (text, whether it is missing, whether it is understood) of each row."""
    odd = [text for text, missing, understood in cells if not missing and not understood]
    fine = (text for text, missing, understood in cells if not missing and understood)
    rows = max(len(cells), 1)
    missing = sum(missing for _, missing, _ in cells)
    odd_example = odd[0] if odd else None
    return RoleReport(role.role, role.column, role.type, missing / rows, len(odd) / rows, next(fine, None), odd_example)


def scale_seen(typed: DataFrame, described: RatingsFile) -> ScaleSeen | None:
    """The scale that typed ratings seem to have, those off the described scale included; None if there are none."""
    if described.rating is None:
        return None
    rows = typed.select(F.round(F.col("rating").cast("double"), 6).alias("rating")).distinct().collect()
    return _scale_of(
        row["rating"] for row in rows if row["rating"] is not None and row["rating"] not in described.unscored
    )


def _scale_of(values: Iterable[float]) -> ScaleSeen | None:
    levels = sorted(values)
    if not levels:
        return None
    step = smallest_step(levels) if len(levels) > 1 else None
    return ScaleSeen(levels[0], levels[-1], step, len(levels))
