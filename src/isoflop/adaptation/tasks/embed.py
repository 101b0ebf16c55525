"""A vector for each text, so that queries find their documents: retrieval.

N texts, Q queries, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.adaptation.classifier import pooling_for
from isoflop.adaptation.pretrained import Pretrained, cut_notes, tokenize
from isoflop.adaptation.recipe import Recipe
from isoflop.adaptation.retrieval.bi_encoder import BiEncoder, PairBatches, Pairs
from isoflop.adaptation.retrieval.bm25 import BM25
from isoflop.adaptation.retrieval.embedder import EMBEDDING_POOLINGS, Embedder, token_vectors
from isoflop.adaptation.rows import read_rows
from isoflop.adaptation.saved import TASK, damaged, load_body, save_adapted
from isoflop.adaptation.split import TRAIN, Split, make_split
from isoflop.adaptation.table import Columns, LabelledTexts
from isoflop.adaptation.task import Files, Floor, Measured
from isoflop.errors import UserError
from isoflop.evaluation.ranking import DEPTH, ranking_scores
from isoflop.evaluation.scores import Figures
from isoflop.models import Model

QUERY_NAMES = ("query", "question", "anchor", "title")
POSITIVE_NAMES = ("positive", "document", "passage", "context", "answer", "abstract", "text")
NEGATIVE_NAMES = ("negative",)


@dataclass(frozen=True)
class Embed:
    """A table with a column of queries, one of documents that answer them, and perhaps one of documents that do not.

    Columns are named or guessed; a query with several documents stands in several rows. `temperature` divides cosines
    in the loss (0.05 as in Gao et al. 2021, arXiv 2104.08821, section 3).
    """

    query: str | None = None
    positive: str | None = None
    negative: str | None = None
    temperature: float = 0.05
    name = "embed"
    purpose = "to retrieve"
    unit = "query"
    stacks = ("encoder", "decoder")

    def __post_init__(self) -> None:
        if not 0 < self.temperature <= 10:
            raise UserError(f"The setting temperature is {self.temperature}: it must be above 0, and at most 10.")

    def read(self, files: Files) -> Split:
        """Read the parts: of train each row, of what is measured on each query with all its documents.

        Raises `UserError` for a missing column, an empty text, and a part with less than two documents.
        """
        parts = {name: self._part(path) for name, path in files.named.items()}
        held_out = {name: _by_query(part) for name, part in parts.items() if name != TRAIN}
        for part in (parts[TRAIN], *held_out.values()):
            if len(_documents(part)) < 2:
                raise UserError(f"{part.source} has one document only: there is nothing to choose from.")
        return make_split(self, {TRAIN: parts[TRAIN], **held_out})

    def trial(self, pretrained: Pretrained, split: Split, recipe: Recipe) -> EmbedTrial:
        """What the engine trains."""
        return EmbedTrial(pretrained, split, recipe, self.temperature)

    @staticmethod
    def load(folder: Path, record: Mapping[str, Any]) -> Embedder:
        """The embedder in `folder`."""
        pooling, longest = record.get("pooling"), record.get("longest")
        if pooling not in EMBEDDING_POOLINGS or not isinstance(longest, int):
            raise damaged(folder / TASK)
        body, tokenizer = load_body(folder)
        assert isinstance(body, Model)
        return Embedder(body, tokenizer, pooling, longest)

    def examine(self, predictor: Any, table: Path) -> Measured:
        """How a saved model's vectors rank the documents of a table. Raises `UserError` as `read` does."""
        one = _Collection(_by_query(self._part(table)))
        return _measured(predictor.vectors([*one.queries, *one.documents])[0], one, self.temperature)

    def _part(self, path: Path) -> LabelledTexts:
        """A row a query, with its label the tuples of documents that answer it and of those that do not."""
        queries, answers, places = [], [], []
        names: tuple[str, str, str | None] | None = None
        for place, row in read_rows(path):
            names = names or self._columns(path, list(row))
            cells = [None if name is None else _filled(path, place, name, row.get(name)) for name in names]
            if cells[1] == cells[2]:
                raise UserError(f"{path}, {place}: the same document is both positive and negative: delete the row.")
            queries.append(cells[0])
            answers.append(((cells[1],), () if cells[2] is None else (cells[2],)))
            places.append(place)
        if names is None:
            raise UserError(f"{path} has no rows: a table needs a header and a line for each query and its document.")
        return LabelledTexts(str(path), Columns(*names[:2]), tuple(queries), tuple(answers), tuple(places))

    def _columns(self, path: Path, there: list[str]) -> tuple[str, str, str | None]:
        query = _column(path, there, "query", self.query, QUERY_NAMES)
        positive = _column(path, there, "positive", self.positive, POSITIVE_NAMES)
        negative = _column(path, there, "negative", self.negative, NEGATIVE_NAMES)
        if query is None or positive is None:
            missing, usual = ("query", QUERY_NAMES) if query is None else ("positive", POSITIVE_NAMES)
            raise UserError(
                f"{path} has no column for the {missing} ({', '.join(usual[:3])}, …): "
                f"choose one with --option {missing}=NAME from {', '.join(map(repr, there))}."
            )
        if len({query, positive, negative}) < 3:
            raise UserError(f"{path}: query, positive and negative must be three columns, not one twice.")
        return query, positive, negative


class EmbedTrial:
    """A `BiEncoder` on a table's pairs; each part is measured on finding its queries' documents among all its own."""

    def __init__(self, pretrained: Pretrained, split: Split, recipe: Recipe, temperature: float) -> None:
        if recipe.method.name == "head":
            raise UserError("--method head would train nothing: what makes vectors has no head. Choose another.")
        if recipe.batch < 2:
            raise UserError("--batch is 1: a query is told from the documents of others in its batch, so take more.")
        if recipe.joint is not None and recipe.joint.text is None:
            raise UserError("--joint-alpha has no text to predict here, where a batch has two sides: add --joint-text.")
        self.pretrained, self.split, self.temperature = pretrained, split, temperature
        body = pretrained.model
        self.longest = recipe.tokens_of(body.shape.context)
        if recipe.pooling == "pooler":
            raise UserError(f"--pooling pooler is to classify: choose {', '.join(EMBEDDING_POOLINGS)}.")
        self.pooling = pooling_for(body, recipe.pooling)
        self.collections = {name: _Collection(part) for name, part in split.parts.items()}
        texts = {name: [*one.queries, *one.documents] for name, one in self.collections.items()}
        self.tokens = {name: tokenize(pretrained.tokenizer, some, longest=self.longest) for name, some in texts.items()}
        pairs = self._pairs()
        self.model = BiEncoder(body, pairs, pooling=self.pooling, temperature=temperature, parts=recipe.accumulate)
        self.batches, self.epoch_tokens = PairBatches(pairs, recipe.batch, recipe.seed), pairs.tokens
        self.notes = cut_notes(self.tokens, self.longest)
        self.facts = {"pooling": self.pooling, "longest": self.longest, "temperature": temperature}
        sizes = ", ".join(f"{name} {len(one.documents):,}" for name, one in self.collections.items())
        self.about = (
            f"Pooling: {self.pooling}, then length 1; texts are cut behind {self.longest} tokens",
            f"Each query is to find its documents among those of its part: {sizes}; temperature {temperature:g}",
        )

    def measure(self, part: str, *, is_last: bool) -> Measured:
        """How the part's queries rank its documents."""
        del is_last
        vectors = token_vectors(self.model.body, self.tokens[part], self.pooling)
        return _measured(vectors, self.collections[part], self.temperature)

    def floor(self) -> Floor:
        """BM25 on the same documents."""
        scores = {}
        for name in self.split.held_out:
            one = self.collections[name]
            ranking = BM25(one.documents)
            scores[name] = _figures(ranking.scores(one.queries), one, None)
        return Floor(ranking.description, scores)

    def save(self, folder: Path) -> None:
        """Write the embedder."""
        record = {"task": "embed", **self.facts}
        save_adapted(folder, self.model.body, {}, info=self.pretrained.info, record=record)

    def _pairs(self) -> Pairs:
        one, tokens, labels = self.collections[TRAIN], self.tokens[TRAIN], self.split.train.labels
        count = len(one.queries)
        queries, documents = (type(tokens)(some, 0) for some in (tokens.sequences[:count], tokens.sequences[count:]))
        pairs = [
            (one.query_number[query], one.document_number[positive])
            for query, ((positive,), _) in zip(self.split.train.texts, labels, strict=True)
        ]
        negatives = [one.document_number[negative] for _, some in labels for negative in some]
        return Pairs(queries, documents, pairs, negatives)


class _Collection:
    """A part's distinct queries and documents by number, and which answer which."""

    def __init__(self, part: LabelledTexts) -> None:
        self.queries, self.documents = list(dict.fromkeys(part.texts)), _documents(part)
        self.query_number = {text: number for number, text in enumerate(self.queries)}
        self.document_number = {text: number for number, text in enumerate(self.documents)}
        self.grades: list[dict[int, float]] = [{} for _ in self.queries]
        for query, (positives, _) in zip(part.texts, part.labels, strict=True):
            self.grades[self.query_number[query]].update({self.document_number[one]: 1.0 for one in positives})


def _documents(part: LabelledTexts) -> list[str]:
    """All that can be found in a part: what answers a query, and what does not."""
    return list(dict.fromkeys(text for answers in part.labels for some in answers for text in some))


def _by_query(part: LabelledTexts) -> LabelledTexts:
    """One example for each query, at the place of its first row, with all documents of its rows."""
    first: dict[str, list[int]] = {}
    for number, query in enumerate(part.texts):
        first.setdefault(query, []).append(number)
    labels = []
    for rows in first.values():
        positives, negatives = (
            dict.fromkeys(text for row in rows for text in part.labels[row][side]) for side in (0, 1)
        )
        labels.append((tuple(positives), tuple(negatives)))
    places = tuple(part.places[rows[0]] for rows in first.values())
    return LabelledTexts(part.source, part.columns, tuple(first), tuple(labels), places)


def _measured(vectors: NDArray[np.float32], one: _Collection, temperature: float) -> Measured:
    """Scores of the vectors of a part's queries and, behind them, of its documents; what each query finds first."""
    count = len(one.queries)
    scores_QN = (vectors[:count] @ vectors[count:].T).astype(np.float64)
    nats_Q = _nats(scores_QN / temperature, one.grades)
    first = [one.documents[row.argmax()] for row in scores_QN]
    rows = list(zip(one.queries, first, strict=True))
    return Measured(_figures(scores_QN, one, nats_Q), ("query", "found first"), rows)


def _figures(scores_QN: NDArray[np.float64], one: _Collection, nats_Q: NDArray[np.float64] | None) -> Figures:
    found = ranking_scores(scores_QN, one.grades)
    figures = {f"nDCG@{DEPTH}": found.ndcg, **{f"recall@{k}": share for k, share in found.recall.items()}}
    own = [found.queries[number] for number in range(len(one.queries))]
    values = {f"nDCG@{DEPTH}": [query.ndcg for query in own], "MRR": [query.reciprocal_rank for query in own]}
    values.update({f"recall@{k}": [query.recall[k] for query in own] for k in found.recall})
    spread = None if nats_Q is None else float(nats_Q.std(ddof=1) / len(nats_Q) ** 0.5) if len(nats_Q) > 1 else 0.0
    return Figures(
        examples=len(one.queries),
        main=f"nDCG@{DEPTH}",
        figures={**figures, "MRR": found.reciprocal_rank},
        nats=None if nats_Q is None else float(nats_Q.mean()),
        nats_standard_error=spread,
        values=values,
    )


def _nats(logits_QN: NDArray[np.float64], grades: Sequence[Mapping[int, float]]) -> NDArray[np.float64]:
    """The training loss of each query with all the part's documents as its batch, the mean over its own ones: (Q,)."""
    found = np.empty(len(grades))
    for number, (row, own) in enumerate(zip(logits_QN, grades, strict=True)):
        others = np.logaddexp.reduce(np.delete(row, list(own)))
        found[number] = np.mean([np.logaddexp(row[one], others) - row[one] for one in own])
    return found


def _column(path: Path, there: list[str], what: str, wanted: str | None, usual: tuple[str, ...]) -> str | None:
    if wanted is not None and wanted not in there:
        names = ", ".join(map(repr, there))
        raise UserError(f"{path} has no column {wanted!r}: choose --option {what}=NAME from {names}.")
    lower = {name.lower(): name for name in there}
    return wanted or next((lower[name] for name in usual if name in lower), None)


def _filled(path: Path, place: str, column: str, cell: Any) -> str:
    text = "" if cell is None else str(cell)
    if not text.strip():
        raise UserError(f"{path}, {place}: the column {column} is empty: fill it, or delete the row.")
    return text
