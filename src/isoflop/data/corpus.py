"""A corpus: which documents there are, which side of the split each is on, and what its content hash is."""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isoflop.errors import UserError

STDLIB = "stdlib"
"""The default corpus: the Python standard library's own source, which is wherever isoflop is."""

TEXT_SUFFIXES = (".txt", ".md", ".rst", ".py", ".tex", ".html", ".csv", ".tsv", ".json", ".gz")


@dataclass(frozen=True)
class CorpusConfig:
    """Where the text is.

    `paths` are files, folders, globs, or the word `stdlib`; `column` names the text column of Parquet or JSONL files;
    `dataset` instead names a Hugging Face data set (its `train` split). `valid_percent` of the documents, chosen by
    the hash of their names, are kept aside for validation; a corpus of one document is split at its end.
    """

    paths: tuple[str, ...] = (STDLIB,)
    column: str = "text"
    dataset: str = ""
    valid_percent: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.valid_percent < 100:
            raise UserError(f"corpus.valid_percent must be between 0 and 100, not {self.valid_percent}.")
        if not self.paths and not self.dataset:
            raise UserError("corpus.paths is empty: name files, folders, globs or the word 'stdlib'.")


@dataclass(frozen=True)
class Document:
    """One text and its name (a relative path, or a row's number), which alone decides its side of the split."""

    name: str
    text: str
    replaced: int
    """Undecodable bytes that were replaced by U+FFFD."""


@dataclass(frozen=True)
class Split:
    """The documents of both sides, with what was read and repaired on the way."""

    train: tuple[Document, ...]
    valid: tuple[Document, ...]
    content_hash: str

    @property
    def replaced(self) -> int:
        return sum(document.replaced for document in (*self.train, *self.valid))

    @property
    def damaged_documents(self) -> int:
        return sum(document.replaced > 0 for document in (*self.train, *self.valid))


def read_corpus(config: CorpusConfig) -> Split:
    """Read every document and split by name: no document is on both sides, and no copy of one either.

    Raises `UserError` where a path matches nothing, a column is missing or no text is found.
    """
    documents = [one for one in _documents(config) if one.text.strip()]
    if not documents:
        raise UserError(f"The corpus {_where(config)} holds no text: check corpus.paths and corpus.column.")
    return split_documents(documents, config.valid_percent)


def split_documents(documents: list[Document], valid_percent: float) -> Split:
    """Put about `valid_percent` of the documents on the validation side, by the hash of their names."""
    digest = hashlib.sha256(f"{valid_percent}".encode())
    for document in documents:
        digest.update(document.name.encode() + b"\0" + document.text.encode("utf-8", "surrogatepass") + b"\0")
    if len(documents) == 1:
        train, valid = _cut(documents[0], valid_percent)
    else:
        train, valid = _divide(documents, valid_percent)
    return Split(tuple(train), tuple(valid), digest.hexdigest()[:16])


def _divide(documents: list[Document], percent: float) -> tuple[list[Document], list[Document]]:
    """Split by the hash of the name; a text that stands under several names goes where its first name goes."""
    side_of: dict[str, bool] = {}
    train: list[Document] = []
    valid: list[Document] = []
    for document in documents:
        text_hash = hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest()
        is_valid = side_of.setdefault(text_hash, _fraction(document.name) * 100 < percent)
        (valid if is_valid else train).append(document)
    if not valid or not train:
        ordered = sorted(documents, key=lambda document: _fraction(document.name))
        n_valid = min(len(documents) - 1, max(1, round(len(documents) * percent / 100)))
        valid, train = ordered[:n_valid], ordered[n_valid:]
    return train, valid


def _cut(document: Document, percent: float) -> tuple[list[Document], list[Document]]:
    cut = int(len(document.text) * (1 - percent / 100))
    head = Document(document.name, document.text[:cut], document.replaced)
    return [head], [Document(document.name + " (end)", document.text[cut:], 0)]


def _fraction(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64


def _documents(config: CorpusConfig) -> Iterator[Document]:
    if config.dataset:
        yield from _from_hub(config)
        return
    for entry in config.paths:
        if entry == STDLIB:
            yield from _from_stdlib()
        else:
            for path, name in _expand(entry):
                yield from _from_file(path, name, config.column)


def _from_stdlib() -> Iterator[Document]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not {"site-packages", "dist-packages", "__pycache__"} & set(path.parts):
            yield _decoded(f"{STDLIB}/{name}", path.read_bytes())


def _expand(entry: str) -> Iterator[tuple[Path, str]]:
    root = Path(entry).expanduser()
    if root.is_dir():
        files = [path for path in sorted(root.rglob("*")) if path.is_file() and _is_readable(path)]
    elif root.is_file():
        root, files = root.parent, [root]
    else:
        files = [Path(match) for match in sorted(glob.glob(str(root), recursive=True)) if Path(match).is_file()]
        root = Path(".")
    if not files:
        raise UserError(f"corpus.paths: {entry!r} is no file, folder or pattern that matches a text file.")
    for path in files:
        yield path, path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _is_readable(path: Path) -> bool:
    return path.suffix in (*TEXT_SUFFIXES, ".jsonl", ".parquet") and not path.name.startswith(".")


def _from_file(path: Path, name: str, column: str) -> Iterator[Document]:
    if path.suffix == ".parquet":
        yield from _from_parquet(path, name, column)
        return
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except OSError as error:
        raise UserError(f"corpus.paths: {path} can't be read ({error}).") from error
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        yield from _from_jsonl(data, path, name, column)
    else:
        yield _decoded(name, data)


def _from_jsonl(data: bytes, path: Path, name: str, column: str) -> Iterator[Document]:
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        row = _decoded(f"{name}:{number}", line)
        try:
            text = json.loads(row.text)[column]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: no text column {column!r} there: set corpus.column.") from error
        yield Document(row.name, str(text), row.replaced)


def _from_parquet(path: Path, name: str, column: str) -> Iterator[Document]:
    import pyarrow.parquet as parquet

    table = parquet.ParquetFile(path)
    if column not in table.schema_arrow.names:
        have = ", ".join(table.schema_arrow.names)
        raise UserError(f"{path} has no column {column!r} (it has {have}): set corpus.column.")
    number = 0
    for batch in table.iter_batches(columns=[column]):
        for value in batch.column(0).to_pylist():
            number += 1
            yield Document(f"{name}:{number}", str(value or ""), 0)


def _from_hub(config: CorpusConfig) -> Iterator[Document]:
    try:
        from datasets import load_dataset  # type: ignore[import-not-found]
    except ImportError as error:
        raise UserError("corpus.dataset needs the package 'datasets': pip install datasets.") from error
    try:
        rows = load_dataset(config.dataset, split="train")
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"corpus.dataset: {config.dataset!r} could not be loaded: {reason}.") from error
    if config.column not in rows.column_names:
        raise UserError(f"corpus.dataset: {config.dataset!r} has no column {config.column!r}: set corpus.column.")
    for number, value in enumerate(rows[config.column], start=1):
        yield Document(f"{config.dataset}:{number}", str(value or ""), 0)


def _decoded(name: str, data: bytes) -> Document:
    """Decode UTF-8; bytes that are not are replaced by U+FFFD and counted."""
    try:
        return Document(name, data.decode("utf-8-sig"), 0)
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        return Document(name, text, text.count("�") - data.count("�".encode()))


def _where(config: CorpusConfig) -> str:
    return config.dataset or ", ".join(config.paths)
