"""Descriptions of data sets, read from TOML files."""

from pydantic import ValidationError

from widedeep.common.command import find_config, read_toml
from widedeep.common.errors import InputError
from widedeep.schema.dataset import Dataset


def read_dataset(given: str) -> Dataset:
    """Return the description of a data set: a preset of conf/data by its name, or a TOML file by its path.

    Raises:
        InputError: there is no such file, or it describes no data set; lists all mistakes.

    """
    file = find_config(given, "data", "dataset")
    try:
        return Dataset.model_validate({"name": file.stem, **read_toml(file)})
    except ValidationError as error:
        mistakes = [
            f"  {'.'.join(map(str, mistake['loc'])) or 'dataset'}: "
            + ("unknown key" if mistake["type"] == "extra_forbidden" else mistake["msg"])
            for mistake in error.errors()
        ]
        raise InputError(
            f"{file} describes no data set: {len(mistakes)} mistake(s); see docs/datasets.md:\n" + "\n".join(mistakes)
        ) from None
