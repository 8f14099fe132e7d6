"""The trained model as one file that is complete on its own: weights, settings, vocabularies, ids.

It is a safetensors file: tensors by name, and text in its header. Reading it runs no code.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError, safe_open

from widedeep.common.errors import DivergedError, InputError
from widedeep.common.files import HashingStream, atomic_file
from widedeep.data.feature_tables import Tables
from widedeep.models import REGISTRY, ModelConfig, Recommender
from widedeep.schema.dataset import Identifiers
from widedeep.schema.manifest import Manifest
from widedeep.schema.rating_scale import RatingScale
from widedeep.schema.records import Record

MODEL_FILE = "model.safetensors"
ARTIFACT_FORMAT = "widedeep/4"
LENGTH_BYTES = 8  # of the number that a safetensors file begins with
UNKNOWN_DIGEST = "0" * 64  # stands in the file while its digest is computed
SAFETENSORS_DTYPES = {
    torch.float32: "F32",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.uint8: "U8",
}


class BestEpoch(Record):
    """The epoch of a training whose model was kept."""

    epoch: int  # from 0; -1: none yet
    value: float  # of the metric that chose it; lower is better, NaN if there was nothing to choose by
    valid: dict[str, float]  # its metrics


NO_EPOCH = BestEpoch(epoch=-1, value=math.inf, valid={})


class ArtifactHeader(Record):
    """What an artifact has besides tensors."""

    config: ModelConfig
    shape: dict[str, int]  # what the constructor of the model takes
    manifest_digest: str
    split: dict[str, Any]  # that of the manifest
    ids: Identifiers
    scale: RatingScale
    rates: bool
    refit: bool  # whether training ratings are those of valid, too
    vocabularies: dict[str, dict[str, tuple[str, ...]]]  # table -> column -> values
    best: BestEpoch


@dataclass(frozen=True)
class Artifact:
    """A model that is ready to score, with the data that it needs."""

    sha256: str  # of the file
    model: Recommender
    config: ModelConfig
    manifest_digest: str
    scale: RatingScale
    vocabularies: dict[str, dict[str, tuple[str, ...]]]  # table -> column -> values
    ids: Identifiers
    split: dict[str, Any]  # that of the manifest
    refit: bool  # whether training ratings are those of valid, too
    best: BestEpoch  # of which the model is
    user_id: np.ndarray  # [users] int64 or texts, by user index
    item_id: np.ndarray  # [items] int64 or texts, by item index
    user_ratings: np.ndarray  # [users] int32, number of training ratings
    item_ratings: np.ndarray  # [items] int32, number of training ratings

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


def save_artifact(
    file: Path,
    model: Recommender,
    manifest: Manifest,
    tables: Tables,
    refit: bool = False,
    best: BestEpoch = NO_EPOCH,
) -> None:
    """Write the artifact atomically. If tables are sharded, the other ranks must call `send_local_parts` meanwhile.

    Args:
        file: to write.
        model: as trained.
        manifest: of the data that it was trained on.
        tables: the feature tables of the data.
        refit: whether it was trained on valid, too.
        best: the epoch that the model is of.

    """
    extra = {
        **_packed("ids.user_id", tables.users.values("user_id")),
        **_packed("ids.item_id", tables.items.values("item_id")),
        "ids.user_ratings": tables.users.values("train_ratings"),
        "ids.item_ratings": tables.items.values("train_ratings"),
    }
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {name: torch.from_numpy(np.array(value)) for name, value in extra.items()}
    header = ArtifactHeader(
        config=model.config,
        shape=model.shape,
        manifest_digest=manifest.digest,
        split=manifest.split,
        ids=manifest.dataset.ids,
        scale=manifest.ratings.scale,
        rates=model.rates,
        refit=refit,
        vocabularies={"users": manifest.users.vocabularies, "items": manifest.items.vocabularies},
        best=best,
    )
    with atomic_file(file) as stream:
        _write_safetensors(stream, tensors, header.model_dump_json())


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
    starts = np.append(0, tensors[f"{name}.end"].numpy())
    buffers = pa.py_buffer(starts), pa.py_buffer(tensors[name].numpy())
    return pa.LargeStringArray.from_buffers(len(starts) - 1, *buffers).to_numpy(zero_copy_only=False)


def _write_safetensors(stream: BinaryIO, tensors: Mapping[str, torch.Tensor], header: str) -> None:
    """Write a safetensors file: the length of the JSON that describes it, the JSON, the tensors.

    We write the format ourselves because a sharded table then never needs to fit into memory as a whole. Tensors are
    sorted by element size, the largest first, so that each is aligned. The file's digest takes its own place as zeros.
    """
    from widedeep.parallel.sharding import iter_full_tensor  # not at the top: reading an artifact needs no DTensor

    tensors = dict(sorted(tensors.items(), key=lambda named: -named[1].element_size()))
    metadata = {"format": ARTIFACT_FORMAT, "sha256": UNKNOWN_DIGEST, "header": header}
    described: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        described[name] = {
            "dtype": SAFETENSORS_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    description = json.dumps(described).encode()
    description += b" " * (-len(description) % 8)
    hashing = HashingStream(stream)
    hashing.write(len(description).to_bytes(8, "little") + description)
    for tensor in tensors.values():
        for part in iter_full_tensor(tensor):
            hashing.write(part.contiguous().numpy().data)
    stream.seek(LENGTH_BYTES + description.index(UNKNOWN_DIGEST.encode()))
    stream.write(hashing.sha256.encode())


def _digest_of(file: Path, stated: str) -> str:
    """Return the digest of an artifact that states `stated`; if nothing is damaged, they are equal."""
    with file.open("rb") as stream:
        length = stream.read(LENGTH_BYTES)
        description = stream.read(int.from_bytes(length, "little"))
        digest = hashlib.sha256(length + description.replace(stated.encode(), UNKNOWN_DIGEST.encode(), 1))
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def load_artifact(file: Path, verify: bool = True) -> Artifact:
    """Read an artifact. Its tensors are mapped into memory, not copied.

    Args:
        file: to read.
        verify: whether to read all of it first and compare its digest, at about a second per GB, and to look at all
            weights. The tasks of a job do not: its driver has.

    Raises:
        InputError: the file is missing, damaged or no artifact.
        DivergedError: a weight is infinite or NaN.

    """
    try:
        with safe_open(str(file), framework="pt") as stored:
            metadata = stored.metadata() or {}
            header = _header_of(file, metadata, verify)
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        artifact = _build_artifact(metadata["sha256"], header, tensors)
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        _refuse(file, error)
    if verify:
        for name, weight in artifact.model.named_parameters():
            if not weight.isfinite().all():
                raise DivergedError(f"model {file} has numbers in {name} that are not finite: train again")
    return artifact


def read_best_epoch(file: Path) -> BestEpoch:
    """Return the epoch that an artifact's model is of; raises as `load_artifact`."""
    try:
        with safe_open(str(file), framework="pt") as stored:
            return _header_of(file, stored.metadata() or {}, verify=True).best
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        _refuse(file, error)


def _header_of(file: Path, metadata: Mapping[str, str], verify: bool) -> ArtifactHeader:
    written = metadata.get("format")
    if written != ARTIFACT_FORMAT:
        raise InputError(f"{file} has format {written}, this release reads {ARTIFACT_FORMAT}: train again")
    stated = metadata["sha256"]
    if verify and (actual := _digest_of(file, stated)) != stated:
        raise InputError(f"model {file} is damaged: it has sha256 {actual}, and says {stated}: copy it again")
    return ArtifactHeader.model_validate_json(metadata["header"])


def _refuse(file: Path, error: Exception) -> NoReturn:
    """Raise InputError for what reading an artifact has raised."""
    if isinstance(error, InputError):
        raise error
    if isinstance(error, FileNotFoundError):
        raise InputError(f"model {file} does not exist: train one with torchrun widedeep/train.py") from None
    raise InputError(f"model {file} cannot be read ({error}): copy it again, or train again") from None


def _build_artifact(sha256: str, header: ArtifactHeader, tensors: dict[str, torch.Tensor]) -> Artifact:
    """Return the artifact with this header and these tensors."""
    with torch.device("meta"):  # allocates no memory for weights that are replaced at once
        model = REGISTRY[header.config.name](header.config, header.shape, header.scale)
    state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    model.load_state_dict(state, assign=True)
    model.rates = header.rates
    return Artifact(
        sha256=sha256,
        model=model.eval().requires_grad_(False),
        config=header.config,
        manifest_digest=header.manifest_digest,
        scale=header.scale,
        vocabularies=header.vocabularies,
        ids=header.ids,
        split=header.split,
        refit=header.refit,
        best=header.best,
        user_id=_unpacked("ids.user_id", tensors),
        item_id=_unpacked("ids.item_id", tensors),
        user_ratings=tensors["ids.user_ratings"].numpy(),
        item_ratings=tensors["ids.item_ratings"].numpy(),
    )
