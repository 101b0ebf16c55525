"""A collection of four documents in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DOCUMENTS = (
    {"id": "a", "text": "the cat sat on the mat"},
    {"id": "b", "text": "a dog and a cat", "title": "pets"},
    {"id": "c", "text": ""},
    {"id": "d", "text": "flow over a wing"},
)
QUERIES = ({"id": "1", "text": "cat"}, {"id": "2", "text": "the wing"}, {"id": "3", "text": "nothing of it"})
GRADES = "1 0 a 1\n1 0 b 2\n2 0 d 1\n2 0 a 0\n"


@pytest.fixture
def collection(tmp_path: Path) -> dict[str, Path]:
    """Paths of the documents, the queries and the judgements."""
    paths = {"documents": tmp_path / "docs.jsonl", "queries": tmp_path / "queries.jsonl", "grades": tmp_path / "qrels"}
    for name, rows in (("documents", DOCUMENTS), ("queries", QUERIES)):
        paths[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    paths["grades"].write_text(GRADES)
    return paths
