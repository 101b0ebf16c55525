"""Reading a published table by name: from ISOFLOP_DATA, from the cache, or from its address; always by checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.errors import UserError
from isoflop.files import atomic_write
from isoflop.runs.numbers import read_numbers
from isoflop.runs.published_tables import TABLES, PublicFile, Published
from isoflop.runs.tabular import RawTable, read_table

PREFIX = "published:"
TIMEOUT_SECONDS = 30.0
LARGEST_FILE_BYTES = 1 << 26

STEPLAW_SEQUENCE = 2048
"""Tokens per sequence in all of Step Law's runs (bs * ti * 2048 = D; column seq_len of its mixture-of-experts file)."""

EPOCH_OUTLIERS = 5
"""Besiroglu et al. 2024 leave out the five runs of highest loss (data_analysis.ipynb in their repository)."""


def read_published(name: str) -> RawTable:
    """The published table `name` as raw columns, the same whether it is read from ISOFLOP_DATA or from its address.

    Raises `UserError` where the name is unknown, the checksum differs, or the table can't be had.
    """
    if name not in TABLES:
        raise UserError(f"There is no published table {name!r}: it is one of {', '.join(TABLES)}.")
    table = TABLES[name]
    stored = stored_path(table)
    if stored is not None:
        _check(stored.read_bytes(), table.sha256, str(stored))
        raw = read_table(stored)
        return replace(raw, source=PREFIX + name)
    if not table.files:
        raise UserError(
            f"{PREFIX}{name} was put together from many files of {table.source} and has no address of its own: "
            f"let ISOFLOP_DATA name the folder that holds runs/{name}.csv."
        )
    return assemble(table, cache_folder())


def stored_path(table: Published) -> Path | None:
    """The table's file in the folder that ISOFLOP_DATA names, or None where there is none."""
    data = os.environ.get("ISOFLOP_DATA")
    path = Path(data) / "runs" / f"{table.name}.csv" if data else None
    return path if path is not None and path.is_file() else None


def cache_folder() -> Path:
    """Where downloaded tables are kept: `isoflop/runs` in XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isoflop" / "runs"


def assemble(table: Published, cache: Path) -> RawTable:
    """Read the public files of `table`, downloading to `cache` those not yet there, and join them into one table."""
    parts = [_read_part(file, _have(file, cache / table.name)) for file in table.files]
    columns = {
        name: _join([part.get(name) for part in parts], parts) for name in dict.fromkeys(n for p in parts for n in p)
    }
    return RawTable(_FINISH.get(table.name, dict)(columns), PREFIX + table.name, typed=False)


def _have(file: PublicFile, folder: Path) -> Path:
    """The file on disk, downloaded if need be; named after its checksum, as many share a name."""
    path = folder / f"{file.sha256[:16]}-{file.address.rpartition('/')[2]}"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256:
        return path
    content = _download(file.address)
    _check(content, file.sha256, file.address)
    with atomic_write(path) as handle:
        handle.write(content)
    return path


def _download(address: str) -> bytes:
    # Imported here because few tables are downloaded, and these two add 20 ms to the start of every verb.
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read(LARGEST_FILE_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"{address} can't be read ({reason}): try again when the network is there, or let ISOFLOP_DATA name "
            "a folder that holds the table."
        ) from error
    return content


def _check(content: bytes, sha256: str, where: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"{where} is not the file that was published (its SHA-256 is {found[:16]}…, expected {sha256[:16]}…): "
            "delete it to fetch it anew, or read it by its path if you mean this version."
        )


def _read_part(file: PublicFile, path: Path) -> dict[str, Any]:
    import pyarrow as pa

    raw = read_table(path)
    missing = [column for column in file.columns.values() if column not in raw.columns]
    if missing:
        raise UserError(f"{file.address} lacks the columns {', '.join(missing)}.")
    values = {name: pa.array([value] * len(raw)) for name, value in file.values.items()}
    return {name: raw.columns[column] for name, column in file.columns.items()} | values


def _join(arrays: list[Any], parts: list[dict[str, Any]]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = [len(next(iter(part.values()))) for part in parts]
    kind = pa.float64() if any(a is not None and pa.types.is_floating(a.type) for a in arrays) else pa.large_string()
    whole = [pa.nulls(n, kind) if a is None else pc.cast(a, kind) for a, n in zip(arrays, lengths, strict=True)]
    return pa.concat_arrays(whole)


def _numbers(columns: Mapping[str, Any], name: str) -> Any:
    return read_numbers(columns[name].fill_null(""), name, count=False, decimal_comma=False, source=PREFIX)[0]


def _finish_epoch(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Names, tokens as flops / (6 * params), and the split that Besiroglu et al. fitted on."""
    import pyarrow as pa

    params, flops, loss = (_numbers(columns, name) for name in ("params", "flops", "loss"))
    outlier = loss > np.sort(loss)[-EPOCH_OUTLIERS - 1]
    return {
        "run": pa.array([f"chinchilla_{row:03d}" for row in range(len(loss))], pa.large_string()),
        **columns,
        "tokens": pa.array(flops / (6.0 * params)),
        "split": pa.array(np.where(outlier, "outlier5", "fit240"), pa.large_string()),
    }


def _finish_steplaw(columns: Mapping[str, Any]) -> dict[str, Any]:
    """FLOPs from the active parameters (all of them in a dense model), and the batch in tokens."""
    import pyarrow as pa

    params, active, tokens, batch = (_numbers(columns, name) for name in ("params", "params_active", "tokens", "batch"))
    return {
        **columns,
        "flops": pa.array(6.0 * np.where(np.isnan(active), params, active) * tokens),
        "batch_tokens": pa.array(batch * STEPLAW_SEQUENCE),
    }


_FINISH: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "epoch_chinchilla": _finish_epoch,
    "steplaw": _finish_steplaw,
}
"""What a table has that its public files leave to the reader."""
