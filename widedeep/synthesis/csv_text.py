"""CSV as the dump writes it: UTF-8, fields quoted only where they must be, quotes doubled."""

import pyarrow as pa
import pyarrow.compute as pc


def csv_field(text: str) -> str:
    """Return the text as one CSV field, quoted if it must be."""
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text


def join_fields(*columns: pa.Array) -> pa.Array:
    """Concatenate columns element by element, without a separator; a null counts as empty."""
    filled = [pc.fill_null(column, "") if column.null_count else column for column in columns]
    return pc.binary_join_element_wise(*filled, "")  # pyright: ignore[reportAttributeAccessIssue]


def float_texts(numbers: pa.Array) -> pa.Array:
    """Format numbers as pandas writes floats: `26.0`, `8.56`; nulls stay null."""
    text = pc.cast(numbers, pa.string())
    whole = pc.invert(pc.match_substring(text, "."))  # pyright: ignore[reportAttributeAccessIssue]
    return pc.if_else(whole, join_fields(text, pa.array([".0"] * len(text))), text)  # pyright: ignore[reportAttributeAccessIssue]


def whole_text(lines: pa.Array) -> str:
    """Concatenate the lines by copying the array's buffer once: no line becomes a Python object."""
    offsets = lines.buffers()[1]
    data = lines.buffers()[2]
    if not len(lines) or data is None:
        return ""
    bounds = memoryview(offsets).cast("i")
    return bytes(memoryview(data)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]).decode("utf-8")
