"""`isoflop retrieve MODEL DOCUMENTS QUERIES`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.adaptation.retrieval import Index, Texts
    from isoflop.evaluation.ranking import RankingScores

WORDS = "bm25"
SHOWN = 60
"""Letters of a document that a line shows."""


def register(app: typer.Typer) -> None:
    app.command("retrieve")(retrieve)


def retrieve(
    model: str = typer.Argument(..., help="A model's folder (isoflop's or a Hugging Face checkpoint), or bm25."),
    documents: Path = typer.Argument(..., help="Documents: CSV, TSV, JSONL (also gzipped) or Parquet; id and text."),
    queries: Path = typer.Argument(None, help="Queries, in a file of the same form."),
    query: str = typer.Option(None, "--query", help="One query, instead of a file."),
    qrels: Path = typer.Option(None, "--qrels", help="Which documents are relevant to which query: measure."),
    top: int = typer.Option(10, "--top", help="Documents that are found for each query."),
    pooling: str = typer.Option(None, "--pooling", help="mean, first or last token; what the model was trained with."),
    max_length: int = typer.Option(None, "--max-length", help="Longest document in tokens; the model's context."),
    threads: int = typer.Option(None, "--threads", help="Threads to compute on; all cores without it."),
) -> None:
    """Find the documents that answer queries; with --qrels, measure that beside BM25.

    Prints a line for each document found: query, rank, document, score and the document's beginning, with tabs between.
    """
    from isoflop.adaptation.retrieval import WordIndex, measure, read_documents, read_grades, read_queries

    if (queries is None) == (query is None):
        raise UserError("Give a file of queries, or one with --query.")
    if qrels is not None and queries is None:
        raise UserError("--qrels needs a file of queries, whose ids it names.")
    if top < 1:
        raise UserError(f"--top must be at least 1, not {top}.")
    collection = read_documents(documents)
    asked = read_queries(queries) if queries is not None else _single(query)
    grades = None if qrels is None else read_grades(qrels, asked, collection)
    index = _index(model, collection, pooling, max_length, threads)
    if grades is None:
        _print_hits(index, asked, collection, top)
        return
    found = {model if model == WORDS else Path(model).name: measure(index, asked, grades)}
    if model != WORDS:
        found[WORDS] = measure(WordIndex(collection), asked, grades)
    _say(found, index, len(collection))


def _single(query: str) -> Texts:
    from isoflop.adaptation.retrieval import Texts

    if not query.strip():
        raise UserError("--query is empty: say what to look for.")
    return Texts("--query", ("1",), (query,))


def _index(model: str, collection: Texts, pooling: str | None, longest: int | None, threads: int | None) -> Index:
    from isoflop.adaptation.retrieval import VectorIndex, WordIndex, read_embedder

    if model == WORDS:
        return WordIndex(collection)
    if threads is not None:
        import torch

        if threads < 1:
            raise UserError(f"--threads must be at least 1, not {threads}.")
        torch.set_num_threads(threads)
    return VectorIndex(read_embedder(Path(model), pooling=pooling, longest=longest), collection)


def _print_hits(index: Index, asked: Texts, collection: Texts, top: int) -> None:
    from isoflop.adaptation.retrieval import best_hits

    for name, row in zip(asked.ids, index.scores(asked.texts), strict=True):
        hits = best_hits(row, top)
        if not hits:
            typer.echo(f"Note: query {name} shares no word with any document.", err=True)
        for rank, hit in enumerate(hits, start=1):
            start = " ".join(collection.texts[hit.document].split())[:SHOWN]
            print(f"{name}\t{rank}\t{collection.ids[hit.document]}\t{hit.score:.4f}\t{start}")
    for note in index.notes:
        typer.echo(f"Note: {note}", err=True)


def _say(found: dict[str, RankingScores], index: Index, documents: int) -> None:
    """The figures of the model and of its floor, and how sure the difference between them is."""
    from isoflop.cli.tables import print_notes, print_table
    from isoflop.evaluation.intervals import LEVEL

    first = next(iter(found.values()))
    depths = tuple(first.recall)
    head = ("", f"nDCG@{first.depth}", f"{LEVEL:.0%} interval", *(f"recall@{depth}" for depth in depths), "MRR")
    rows = [
        (name, f"{one.ndcg:.4f}", _interval(one), *map("{:.4f}".format, (*one.recall.values(), one.reciprocal_rank)))
        for name, one in found.items()
    ]
    print_table(f"{len(first.queries):,} queries, {documents:,} documents; {index.description}", head, rows)
    unanswerable = f"{first.unanswerable} of the queries have no relevant document and are not counted."
    print_notes((*_compared(found), *((unanswerable,) if first.unanswerable else ()), *index.notes))


def _interval(scores: RankingScores) -> str:
    from isoflop.evaluation.intervals import bootstrap_interval

    found = bootstrap_interval([query.ndcg for query in scores.queries.values()])
    return "–" if found.low is None else f"{found.low:.4f} – {found.high:.4f}"


def _compared(found: dict[str, RankingScores]) -> tuple[str, ...]:
    """The model less its floor, over the same queries."""
    from isoflop.evaluation.intervals import LEVEL, paired_test

    if len(found) < 2:
        return ()
    model, floor = ([query.ndcg for query in one.queries.values()] for one in found.values())
    compared = paired_test(model, floor)
    gap, (name, _) = compared.difference, found
    within = "" if gap.low is None else f" ({gap.low:+.4f} to {gap.high:+.4f} at {LEVEL:.0%})"
    return (
        f"{name} is {gap.value:+.4f} nDCG@{found[name].depth} from its floor {WORDS}{within}, "
        f"p = {compared.p_value:.4f} ({compared.test}).",
    )
