"""The trained model as one file that needs nothing else: weights, settings, vocabularies, ids.

A safetensors file: tensors by name, and text in its header. Reading it runs no code.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open

from widedeep.common.errors import InputError
from widedeep.common.files import atomic_file
from widedeep.data.feature_tables import Tables
from widedeep.models import REGISTRY, ModelConfig, Recommender
from widedeep.schema.manifest import Manifest
from widedeep.schema.rating_scale import RatingScale

MODEL_FILE = "model.safetensors"
FORMAT = "widedeep/2"
SAFETENSORS_DTYPES = {torch.float32: "F32", torch.int32: "I32", torch.int64: "I64"}


@dataclass(frozen=True)
class Artifact:
    """A model ready to score, and what it must be used with."""

    model: Recommender
    config: ModelConfig
    manifest_digest: str
    scale: RatingScale
    vocabularies: dict[str, dict[str, list[str]]]  # table -> column -> values
    user_id: np.ndarray  # [users] int64, by position
    anime_id: np.ndarray  # [items] int64, by position
    user_ratings: np.ndarray  # [users] int32, in the training split
    item_ratings: np.ndarray  # [items] int32, in the training split

    def check_trained_on(self, digest: str, run: object, data: object) -> None:
        """Raise InputError unless `digest` is that of the data that the model was trained on.

        Args:
            digest: of the manifest in `data`.
            run: the run's directory, for the message.
            data: the prepared directory, for the message.

        """
        if self.manifest_digest != digest:
            raise InputError(
                f"the model in {run} was trained on other data (digest {self.manifest_digest[:12]}) than {data} holds "
                f"({digest[:12]}): name the directory it was trained on with --data, or train again"
            )


def save_artifact(file: Path, model: Recommender, manifest: Manifest, tables: Tables) -> None:
    """Write the artifact atomically. If tables are sharded, the other ranks `send_local_parts` meanwhile."""
    extra = {
        "ids.user_id": tables.users.values("user_id"),
        "ids.anime_id": tables.items.values("anime_id"),
        "ids.user_ratings": tables.users.values("train_ratings"),
        "ids.item_ratings": tables.items.values("train_ratings"),
    }
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {name: torch.from_numpy(np.array(value)) for name, value in extra.items()}
    header = {
        "format": FORMAT,
        "config": model.config.model_dump_json(),
        "shape": json.dumps(model.shape),
        "manifest_digest": manifest.digest,
        "scale": manifest.ratings.scale.model_dump_json(),
        "vocabularies": json.dumps({"users": manifest.users.vocabularies, "items": manifest.items.vocabularies}),
    }
    with atomic_file(file) as stream:
        stream.writelines(_pieces(tensors, header))


def _pieces(tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """A safetensors file: the length of a JSON text, the text, the tensors. No table needs to be in memory as a whole.

    Wide numbers come first, so that each stands at a multiple of its size; else the order is that of `tensors`.
    """
    from widedeep.parallel.sharding import iter_full_tensor  # here: reading an artifact needs no DTensor

    tensors = dict(sorted(tensors.items(), key=lambda named: -named[1].element_size()))
    places: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        places[name] = {
            "dtype": SAFETENSORS_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(places).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for tensor in tensors.values():
        for part in iter_full_tensor(tensor):
            yield part.contiguous().numpy().data


def load_artifact(file: Path) -> Artifact:
    """Read an artifact; tensors are mapped into memory, not copied.

    Raises:
        InputError: the file is missing, is no artifact or is damaged.

    """
    try:
        with safe_open(str(file), framework="pt") as stored:
            header = stored.metadata() or {}
            if header.get("format") != FORMAT:
                raise InputError(f"{file} has format {header.get('format')}, this release reads {FORMAT}")
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        config = TypeAdapter(ModelConfig).validate_json(header["config"])
        with torch.device("meta"):  # no memory for weights that are replaced at once
            scale = RatingScale.model_validate_json(header["scale"])
            model = REGISTRY[config.name](config, json.loads(header["shape"]), scale)
        state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        model.load_state_dict(state, assign=True)
    except FileNotFoundError:
        raise InputError(f"model {file} does not exist: train one with torchrun widedeep/train.py") from None
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"model {file} cannot be read ({error}): copy it again, or train again") from None
    return Artifact(
        model=model.eval().requires_grad_(False),
        config=config,
        manifest_digest=header["manifest_digest"],
        scale=scale,
        vocabularies=json.loads(header["vocabularies"]),
        user_id=tensors["ids.user_id"].numpy(),
        anime_id=tensors["ids.anime_id"].numpy(),
        user_ratings=tensors["ids.user_ratings"].numpy(),
        item_ratings=tensors["ids.item_ratings"].numpy(),
    )
