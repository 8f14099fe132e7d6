"""From a raw dump of ratings to recommendations: `load` gives a trained model to Python code, see docs/python.md."""

from pathlib import Path
from typing import TYPE_CHECKING

from widedeep.common.errors import InputError

if TYPE_CHECKING:
    from widedeep.scoring.loaded_model import LoadedModel

__all__ = ["InputError", "load"]


def load(run_dir: str | Path, data: str | Path) -> "LoadedModel":
    """Return a trained model, ready to recommend.

    Args:
        run_dir: the directory of a run, written by `widedeep train`.
        data: the prepared directory that the run was trained on; titles and what users have rated come from it.

    Raises:
        InputError: either cannot be read, or the model was trained on other data.

    """
    from widedeep.scoring.loaded_model import LoadedModel  # not at the top: it takes seconds to import torch

    return LoadedModel(Path(run_dir), Path(data))
