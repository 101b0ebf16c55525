"""A checkpoint's table of contents, as JSON: torch's own is a pickle, which can run code when it is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter, _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)

from isoflop.files import write_json

FORMAT = 1
MANIFEST = "manifest.json"


class BoxWriter(FileSystemWriter):
    """torch's writer of files, which keeps the table of contents for the manifest instead of pickling it."""

    contents: Metadata | None = None

    def write_data(self, plan: Any, planner: Any) -> Any:
        """Write this rank's boxes. Raises the `OSError` of a full disk, which torch makes another error of."""
        try:
            return super().write_data(plan, planner)
        except RuntimeError as error:
            before = error.__context__
            while before is not None and not isinstance(before, OSError):
                before = before.__context__
            raise before or error from error

    def finish(self, metadata: Metadata, results: list[list[Any]]) -> None:
        """Keep where each chunk lies."""
        metadata.storage_data = {result.index: result.storage_data for rank in results for result in rank}
        self.contents = metadata


class BoxReader(FileSystemReader):
    """torch's reader of files, given the table of contents."""

    def __init__(self, folder: Path, contents: Metadata) -> None:
        super().__init__(folder)
        self.contents = contents

    def read_metadata(self, *_args: Any, **_named: Any) -> Metadata:
        """The table of contents."""
        return self.contents


class StoredBoxReader(BoxReader):
    """The same of objects at an address."""

    def __init__(self, url: str, contents: Metadata) -> None:
        from torch.distributed.checkpoint._fsspec_filesystem import FileSystem  # needs the package fsspec

        super().__init__(Path(), contents)
        self.fs = FileSystem()  # type: ignore[assignment]  # another class of the same methods
        self.path = self.fs.init_path(url)


class BoxSavePlanner(DefaultSavePlanner):
    """Finds a box by its offset."""

    def lookup_object(self, index: MetadataIndex) -> Any:
        """The numbers to write."""
        return self.state_dict[index.fqn].shard_at(index)


class BoxLoadPlanner(DefaultLoadPlanner):
    """Finds a box by its offset."""

    def set_up_planner(self, state_dict: Any, metadata: Metadata | None = None, is_coordinator: bool = False) -> None:
        """Take what is to be read as it is: torch's own would drop what is no tensor."""
        self.original_state_dict = self.state_dict = state_dict
        self.metadata, self.is_coordinator = metadata, is_coordinator

    def lookup_tensor(self, index: MetadataIndex) -> torch.Tensor:
        """Where to put what is read."""
        return self.state_dict[index.fqn].shard_at(index)


def write_manifest(folder: Path, contents: Metadata, *, files: dict[str, str], rest: dict[str, Any]) -> None:
    """Write the table of contents, the SHA-256 of every file, and the `rest` of the state (plain JSON values)."""
    tensors: dict[str, Any] = {}
    for name, tensor in contents.state_dict_metadata.items():
        assert isinstance(tensor, TensorStorageMetadata)
        chunks = []
        for chunk in tensor.chunks:
            place = contents.storage_data[MetadataIndex(name, chunk.offsets)]
            box = (list(chunk.offsets), list(chunk.sizes))
            chunks.append([*box, place.relative_path, place.offset, place.length])
        tensors[name] = {"size": list(tensor.size), "dtype": str(tensor.properties.dtype), "chunks": chunks}
    write_json(folder / MANIFEST, {"format": FORMAT, "rest": rest, "files": files, "tensors": tensors})


def read_manifest(content: bytes) -> dict[str, Any]:
    """The manifest of a checkpoint. Raises `ValueError` where it is none."""
    found = json.loads(content)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{MANIFEST} is not of format {FORMAT}")
    return found


def contents_of(manifest: dict[str, Any]) -> Metadata:
    """The manifest's table of contents in torch's terms."""
    tensors: dict[str, Any] = {}
    places: dict[MetadataIndex, _StorageInfo] = {}
    for name, entry in manifest["tensors"].items():
        listed = []
        for number, (offsets, sizes, path, offset, length) in enumerate(entry["chunks"]):
            listed.append(ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes)))
            places[MetadataIndex(name, offsets, number)] = _StorageInfo(path, offset, length)
        properties = TensorProperties(dtype=dtype_of(entry))
        tensors[name] = TensorStorageMetadata(properties, torch.Size(entry["size"]), listed)
    return Metadata(tensors, storage_data=places, storage_meta=StorageMeta())


def dtype_of(entry: dict[str, Any]) -> torch.dtype:
    """The dtype of a tensor in the manifest."""
    found = getattr(torch, entry["dtype"].removeprefix("torch."))
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{entry['dtype']} is no dtype")
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
