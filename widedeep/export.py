"""The command that exports a run as Parquet for other tools: encoders, scalers, the rating scale, and vectors.

widedeep export --run-dir runs/best --output data/export
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from widedeep.common.command import load_config
from widedeep.common.console import print_table
from widedeep.common.errors import InputError
from widedeep.common.files import atomic_directory, make_directory, refusals_named, undo_replacement
from widedeep.common.lock import Lock
from widedeep.config.export import ExportConfig
from widedeep.schema.manifest import HIDDEN_MANIFEST, Manifest
from widedeep.schema.records import kind_of, seal
from widedeep.scoring.vectors import TrainedModel, load_trained

KIND = "export"


def encoder_table(manifest: Manifest) -> pa.Table:
    """Return the vocabularies: table, column, code:int32 (the category id), value."""
    rows = [
        (table, column, category_id, value)
        for table, described in (("users", manifest.users), ("items", manifest.items))
        for column, values in described.vocabularies.items()
        for category_id, value in enumerate(values)
    ]
    schema = {"table": pa.string(), "column": pa.string(), "code": pa.int32(), "value": pa.string()}
    return _table(rows, schema)


def scaler_table(manifest: Manifest) -> pa.Table:
    """Return how each numeric column was scaled: stored = ((value or fill) - center) / scale."""
    rows = [
        (table, column, fitted.impute, fitted.fill, fitted.scaler, fitted.center, fitted.scale)
        for table, described in (("users", manifest.users), ("items", manifest.items))
        for column, fitted in described.numeric.items()
    ]
    texts = {"table": pa.string(), "column": pa.string(), "impute": pa.string()}
    return _table(
        rows, texts | {"fill": pa.float64(), "scaler": pa.string(), "center": pa.float64(), "scale": pa.float64()}
    )


def rating_scale_table(manifest: Manifest) -> pa.Table:
    """Return the scale of the ratings, one row: scaled to 0 to 1 they are (rating - lowest) / (highest - lowest)."""
    return pa.Table.from_pylist([manifest.ratings.scale.model_dump()])


def _table(rows: list[tuple], schema: dict[str, pa.DataType]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table({name: pa.array(column, schema[name]) for name, column in zip(schema, columns, strict=True)})


def vector_tables(trained: TrainedModel, side: str) -> Iterator[pa.Table]:
    """Yield tables of index, id, title (of items only), training ratings and unit vector, a block of rows at a time."""
    artifact = trained.artifact
    if side == "users":
        columns = {"user": None, "user_id": artifact.user_id, "train_ratings": artifact.user_ratings}
    else:
        titles = trained.tables.items.strings("title")
        columns = {
            "item": None,
            artifact.ids.item: artifact.item_id,
            "title": titles,
            "train_ratings": artifact.item_ratings,
        }
    low = 0
    for block in trained.iter_vectors(side):
        high = low + len(block)
        part = {
            name: pa.array(range(low, high), pa.int32()) if values is None else pa.array(values[low:high])
            for name, values in columns.items()
        }
        flat = pa.array(block.flatten().numpy())
        yield pa.table({**part, "vector": pa.FixedSizeListArray.from_arrays(flat, block.shape[1])})
        low = high


def export(trained: TrainedModel, output: Path, overwrite: bool = False) -> dict[str, int]:
    """Write all files, commit them together and return file -> number of rows.

    Raises:
        InputError: `output` has files that are no export, is an export that may not be replaced, or is in use by
            another command.
        WriteError: the disk does not take it. An older export is as it was.

    """
    output = output.resolve()
    if not output.name:
        raise InputError(f"output {output} holds files that are no {KIND}: choose another --output")
    what, otherwise = f"output {output}", "choose another --output"
    with refusals_named(what, otherwise):
        make_directory(output.parent)
        with Lock(output.with_name(f".{output.name}.lock"), what, f"wait for it to end, or {otherwise}"):
            undo_replacement(output)
            _require_replaceable(output, overwrite)
            with atomic_directory(output) as staging:
                return _write_all(trained, staging)


def _require_replaceable(output: Path, overwrite: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    manifest = output / HIDDEN_MANIFEST
    if not manifest.is_file() or kind_of(manifest.read_text(encoding="utf-8", errors="replace")) != KIND:
        raise InputError(f"{output} holds files that are no {KIND}: choose another --output")
    if not overwrite:
        raise InputError(f"{output} holds an {KIND} already: give --overwrite to replace it, or another --output")


def _write_all(trained: TrainedModel, directory: Path) -> dict[str, int]:
    """Write all files, the manifest last, and return file -> number of rows."""
    contents = {
        "encoders.parquet": iter([encoder_table(trained.manifest)]),
        "scalers.parquet": iter([scaler_table(trained.manifest)]),
        "rating_scale.parquet": iter([rating_scale_table(trained.manifest)]),
        "users.parquet": vector_tables(trained, "users"),
        "items.parquet": vector_tables(trained, "items"),
    }
    rows = {name: _write(directory / name, parts) for name, parts in contents.items()}
    manifest = {
        "model": trained.artifact.config.model_dump(mode="json"),
        "data_digest": trained.manifest.digest,
        "rows": rows,
    }
    (directory / HIDDEN_MANIFEST).write_text(seal(KIND, 1, manifest), encoding="utf-8")
    return rows


def _write(file: Path, parts: Iterator[pa.Table]) -> int:
    """Write tables to one file and return the number of rows."""
    first = next(parts)
    with pq.ParquetWriter(file, first.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(first)
        count = len(first)
        for part in parts:
            writer.write_table(part)
            count += len(part)
    return count


def main(argv: Sequence[str]) -> None:
    """Export a run: parse, write, print."""
    config = load_config(ExportConfig, argv, "export")
    rows = export(load_trained(config.run_dir, config.data), config.output, config.overwrite)
    print_table(f"export in {config.output}", ("file", "rows"), [(name, f"{count:,}") for name, count in rows.items()])
