"""Finding the documents that answer a query: by a model's vectors, and by the words that both share (BM25)."""

from isoflop.adaptation.retrieval.bm25 import BM25
from isoflop.adaptation.retrieval.collection import Texts, read_documents, read_grades, read_queries
from isoflop.adaptation.retrieval.embedder import Embedder, read_embedder
from isoflop.adaptation.retrieval.search import Hit, Index, VectorIndex, WordIndex, best_hits, measure

__all__ = [
    "BM25",
    "Embedder",
    "Hit",
    "Index",
    "Texts",
    "VectorIndex",
    "WordIndex",
    "best_hits",
    "measure",
    "read_documents",
    "read_embedder",
    "read_grades",
    "read_queries",
]
