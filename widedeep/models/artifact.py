"""The trained model as one file that is complete on its own: weights, settings, vocabularies, ids.

It is a safetensors file: tensors by name, and text in its header. Reading it runs no code.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open

from widedeep.common.errors import InputError
from widedeep.common.files import atomic_file
from widedeep.data.feature_tables import Tables
from widedeep.models import REGISTRY, ModelConfig, Recommender
from widedeep.schema.dataset import Identifiers
from widedeep.schema.manifest import Manifest
from widedeep.schema.rating_scale import RatingScale

MODEL_FILE = "model.safetensors"
ARTIFACT_FORMAT = "widedeep/3"
SAFETENSORS_DTYPES = {
    torch.float32: "F32",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.uint8: "U8",
}


@dataclass(frozen=True)
class Artifact:
    """A model that is ready to score, with the data that it needs."""

    model: Recommender
    config: ModelConfig
    manifest_digest: str
    scale: RatingScale
    vocabularies: dict[str, dict[str, list[str]]]  # table -> column -> values
    ids: Identifiers
    user_id: np.ndarray  # [users] int64 or texts, by user index
    item_id: np.ndarray  # [items] int64 or texts, by item index
    user_ratings: np.ndarray  # [users] int32, number of training ratings
    item_ratings: np.ndarray  # [items] int32, number of training ratings
    split: dict[str, Any] | None = None  # that of the manifest; None: written by a release that did not say
    refit: bool = False  # whether training ratings are those of valid, too

    def check_trained_on(self, digest: str, run: object, data: object) -> None:
        """Raise InputError unless `digest` is that of the data that the model was trained on.

        Args:
            digest: digest of the manifest in `data`.
            run: the run's directory, for the message.
            data: the prepared directory, for the message.

        """
        if self.manifest_digest != digest:
            raise InputError(
                f"the model in {run} was trained on other data (digest {self.manifest_digest[:12]}) than {data} holds "
                f"({digest[:12]}): name the directory it was trained on with --data, or train again"
            )


def save_artifact(file: Path, model: Recommender, manifest: Manifest, tables: Tables, refit: bool = False) -> None:
    """Write the artifact atomically. If tables are sharded, the other ranks must call `send_local_parts` meanwhile.

    Args:
        file: to write.
        model: as trained.
        manifest: of the data that it was trained on.
        tables: the feature tables of the data.
        refit: whether it was trained on valid, too.

    """
    extra = {
        **_packed("ids.user_id", tables.users.values("user_id")),
        **_packed("ids.item_id", tables.items.values("item_id")),
        "ids.user_ratings": tables.users.values("train_ratings"),
        "ids.item_ratings": tables.items.values("train_ratings"),
    }
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {name: torch.from_numpy(np.array(value)) for name, value in extra.items()}
    header = {
        "format": ARTIFACT_FORMAT,
        "config": model.config.model_dump_json(),
        "shape": json.dumps(model.shape),
        "manifest_digest": manifest.digest,
        "split": json.dumps(manifest.split),
        "ids": manifest.dataset.ids.model_dump_json(),
        "scale": manifest.ratings.scale.model_dump_json(),
        "rates": json.dumps(model.rates),
        "refit": json.dumps(refit),
        "vocabularies": json.dumps({"users": manifest.users.vocabularies, "items": manifest.items.vocabularies}),
    }
    with atomic_file(file) as stream:
        stream.writelines(_safetensors_chunks(tensors, header))


def _packed(name: str, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return identifiers as tensors: texts as the bytes of all of them, one after the other, and where each ends."""
    if ids.dtype != object:
        return {name: ids}
    texts = [text.encode() for text in ids.tolist()]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return {name: np.frombuffer(b"".join(texts), np.uint8), f"{name}.end": ends}


def _unpacked(name: str, tensors: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Return the identifiers that `_packed` has made tensors of."""
    if f"{name}.end" not in tensors:
        return tensors[name].numpy()
    content, ends = tensors[name].numpy().tobytes(), tensors[f"{name}.end"].tolist()
    texts = [content[low:high].decode() for low, high in pairwise([0, *ends])]
    return np.array(texts, object)


def _safetensors_chunks(tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """Yield a safetensors file: the length of the JSON header, the header, the tensors.

    We write the format ourselves because a sharded table then never needs to fit into memory as a whole. Tensors are
    sorted by element size, the largest first, so that each is aligned.
    """
    from widedeep.parallel.sharding import iter_full_tensor  # not at the top: reading an artifact needs no DTensor

    tensors = dict(sorted(tensors.items(), key=lambda named: -named[1].element_size()))
    entries: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": SAFETENSORS_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    yield len(header).to_bytes(8, "little") + header
    for tensor in tensors.values():
        for part in iter_full_tensor(tensor):
            yield part.contiguous().numpy().data


def load_artifact(file: Path) -> Artifact:
    """Read an artifact. Its tensors are mapped into memory, not copied.

    Raises:
        InputError: the file is missing, damaged or no artifact.

    """
    try:
        with safe_open(str(file), framework="pt") as stored:
            header = stored.metadata() or {}
            if header.get("format") != ARTIFACT_FORMAT:
                raise InputError(f"{file} has format {header.get('format')}, this release reads {ARTIFACT_FORMAT}")
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        return _build_artifact(header, tensors)
    except FileNotFoundError:
        raise InputError(f"model {file} does not exist: train one with torchrun widedeep/train.py") from None
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"model {file} cannot be read ({error}): copy it again, or train again") from None


def _build_artifact(header: dict[str, str], tensors: dict[str, torch.Tensor]) -> Artifact:
    """Return the artifact with this header and these tensors."""
    config = TypeAdapter(ModelConfig).validate_json(header["config"])
    scale = RatingScale.model_validate_json(header["scale"])
    with torch.device("meta"):  # allocates no memory for weights that are replaced at once
        model = REGISTRY[config.name](config, json.loads(header["shape"]), scale)
    state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    model.load_state_dict(state, assign=True)
    model.rates = json.loads(header["rates"])
    return Artifact(
        model=model.eval().requires_grad_(False),
        config=config,
        manifest_digest=header["manifest_digest"],
        scale=scale,
        vocabularies=json.loads(header["vocabularies"]),
        ids=Identifiers.model_validate_json(header["ids"]),
        user_id=_unpacked("ids.user_id", tensors),
        item_id=_unpacked("ids.item_id", tensors),
        user_ratings=tensors["ids.user_ratings"].numpy(),
        item_ratings=tensors["ids.item_ratings"].numpy(),
        split=json.loads(header.get("split", "null")),
        refit=json.loads(header.get("refit", "false")),
    )
