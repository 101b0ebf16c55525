"""Documents, queries and judgements are read whole, and a mistake in them is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.adaptation.retrieval import read_documents, read_grades, read_queries
from isoflop.errors import UserError


def test_a_title_goes_before_a_text_that_does_not_begin_with_it(collection: dict[str, Path]) -> None:
    documents = read_documents(collection["documents"])
    assert documents.ids == ("a", "b", "c", "d")
    assert documents.texts[:2] == ("the cat sat on the mat", "pets a dog and a cat")
    assert documents.empty == [2]


def test_rows_without_an_id_are_numbered_from_one(tmp_path: Path) -> None:
    path = tmp_path / "docs.csv"
    path.write_text("text\nfirst\nsecond\n")
    assert read_documents(path).ids == ("1", "2")


def test_judgements_of_both_forms_are_the_same(collection: dict[str, Path]) -> None:
    documents, queries = read_documents(collection["documents"]), read_queries(collection["queries"])
    found = read_grades(collection["grades"], queries, documents)
    assert found == [{0: 1, 1: 2}, {3: 1, 0: 0}, {}]
    collection["grades"].write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t2\n2\td\t1\n2\ta\t0\n")
    assert read_grades(collection["grades"], queries, documents) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 0 a 1\n9 0 a 1\n", "line 2: the query '9' is not in"),
        ("1 0 zz 1\n", "line 1: the document 'zz' is not in"),
        ("1 0 a 1\n1 0 a 2\n", "line 2: document 'a' is judged twice"),
        ("1 0 a much\n", "line 1: the grade 'much' is not a number"),
        ("1 0 a nan\n", "line 1: the grade 'nan' is not a number"),
        ("1 a\n", "line 1: query, 0, document and grade are expected"),
    ],
)
def test_a_wrong_judgement_is_told_with_its_line(collection: dict[str, Path], content: str, message: str) -> None:
    collection["grades"].write_text(content)
    with pytest.raises(UserError, match=message):
        read_grades(collection["grades"], read_queries(collection["queries"]), read_documents(collection["documents"]))


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "docs.csv"
    path.write_text("id,text\n7,first\n7,second\n")
    with pytest.raises(UserError, match=r"line 3: the id '7' is that of line 2 too"):
        read_documents(path)


def test_an_empty_query_and_a_missing_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "queries.csv"
    path.write_text("id,text\n1,\n")
    with pytest.raises(UserError, match="the query '1' is empty"):
        read_queries(path)
    path.write_text("id,words\n1,a\n")
    with pytest.raises(UserError, match="no column for the text"):
        read_documents(path)
