"""BM25: against the equation worked out by hand, in English and Chinese, and the figure of a public collection."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest

from isoflop.adaptation.retrieval import BM25, WordIndex, measure, read_documents, read_grades, read_queries
from isoflop.adaptation.retrieval.bm25 import terms


def test_words_are_in_lower_case_and_chinese_is_pairs_of_characters() -> None:
    assert terms("The wing's flow-rate, 2.5 K") == ["the", "wing", "s", "flow", "rate", "2", "5", "k"]
    assert terms("中华人民 law 法") == ["中华", "华人", "人民", "law", "法"]
    assert terms("Ünïcode ΣΑΣ") == ["ünïcode", "σασ"]
    assert terms("...") == []


def test_scores_are_those_of_the_equation() -> None:
    documents = ["cat sat cat", "dog sat on a mat", "a bird"]
    found = BM25(documents, k1=1.2, b=0.75).scores(["cat sat", "sat sat", "fish", ""])
    idf_cat, idf_sat = log(1 + (3 - 1 + 0.5) / (1 + 0.5)), log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    mean = (3 + 5 + 2) / 3

    def part(f: int, length: int) -> float:
        return f * 2.2 / (f + 1.2 * (0.25 + 0.75 * length / mean))

    assert found[0] == pytest.approx([idf_cat * part(2, 3) + idf_sat * part(1, 3), idf_sat * part(1, 5), 0])
    assert found[1] == pytest.approx([2 * idf_sat * part(1, 3), 2 * idf_sat * part(1, 5), 0])
    assert not found[2:].any()


def test_a_chinese_query_finds_its_law() -> None:
    found = BM25(["劳动合同法", "道路交通安全法", "草原法"]).scores(["交通安全"])
    assert found[0].argmax() == 1
    assert found[0, 0] == found[0, 2] == 0


def test_documents_without_a_word_are_no_error() -> None:
    assert BM25(["", "..."]).scores(["a word"]).tolist() == [[0, 0]]


@pytest.mark.data
def test_cranfield_is_ranked_as_others_rank_it(data_dir: Path) -> None:
    folder = data_dir / "text" / "cranfield"
    documents, queries = read_documents(folder / "docs.jsonl.gz"), read_queries(folder / "queries.jsonl")
    grades = read_grades(folder / "qrels.txt", queries, documents)
    scores = measure(WordIndex(documents), queries, grades)
    assert len(scores.queries) == 225
    assert scores.ndcg == pytest.approx(0.349, abs=0.001)
