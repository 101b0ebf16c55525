"""Tables of texts: four forms say the same, columns are guessed, and every fault of a file is one sentence."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.adaptation import read_split
from isoflop.adaptation.table import read_labelled
from isoflop.errors import UserError

ROWS = [('a "fine" film, really', "1"), ("dull", "0"), ("看了两遍\nand more", "1")]
WriteTable = Callable[..., Path]


def test_csv_jsonl_parquet_and_gzip_hold_the_same_texts(tmp_path: Path, write_table: WriteTable) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    as_csv = write_table(tmp_path / "a.csv", ROWS)
    as_gzip = tmp_path / "b.csv.gz"
    as_gzip.write_bytes(gzip.compress(as_csv.read_bytes()))
    as_json = tmp_path / "c.jsonl"
    as_json.write_text("".join(json.dumps({"text": text, "label": int(label)}) + "\n" for text, label in ROWS))
    as_parquet = tmp_path / "d.parquet"
    labels = pa.array([float(label) for _, label in ROWS])
    parquet.write_table(pa.table({"text": [text for text, _ in ROWS], "label": labels}), as_parquet)
    for path in (as_csv, as_gzip, as_json, as_parquet):
        found = read_labelled(path)
        assert list(zip(found.texts, found.labels, strict=True)) == ROWS, path
    assert read_labelled(as_csv).places == ("line 2", "line 3", "line 4")


def test_a_lone_quote_in_tsv_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('sentence\tlabel\n"open, never closed\t0\n"a ""whole"" field"\t1\n', encoding="utf-8")
    assert read_labelled(path).texts == ('"open, never closed', 'a "whole" field')


@pytest.mark.parametrize(
    ("header", "wanted"),
    [("text,label", ("text", "label")), ("id,Sentence,Sentiment", ("Sentence", "Sentiment")), ("words,label", None)],
)
def test_columns_are_guessed(tmp_path: Path, header: str, wanted: tuple[str, str] | None) -> None:
    path = tmp_path / "a.csv"
    path.write_text(header + "\n" + ",".join("abc"[: header.count(",") + 1]) + "\n")
    columns = read_labelled(path).columns
    assert (columns.text, columns.label) == (wanted or ("words", "label"))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"text,label\nfine,1\nwell, not fine,0\n", "line 3: 3 fields where the header has 2"),
        ("a.csv", b"text,label\nfine,1\n ,0\n", "line 3: the text .* is empty"),
        ("a.csv", b"text,label\nfine,1\nbad,\n", "line 3: the label .* is empty"),
        ("a.csv", b"text,label\nfine,1\n\n,\n", "line 4: the text .* is empty"),
        ("a.tsv", b"text\tlabel\nfine\t1\n\n\t\n", "line 4: the text .* is empty"),
        ("a.csv", b"text,label\nfine,1\nbl\xe9d,0\n", r"line 3: the text is not UTF-8 \(byte 3 of the line is 0xE9\)"),
        ("a.csv", b"\xef\xbb\xbfte\xe9t,label\nfine,1\n", r"line 1: .* \(byte 6 of the line is 0xE9\)"),
        ("a.tsv", "text\tlabel\n好\t1\n".encode() + "坏\t0\n".encode("gbk"), "line 3: .*byte 1 .* 0xBB"),
        ("a.csv", "text,label\nfine,1\n".encode("utf-16")[:-1], "not UTF-16"),
        ("a.json", b'{"questions": []}', "neither a list of objects nor of SQuAD's form"),
        ("a.conll", b"a O\nb\n", "line 2: 'b' has no tag"),
        ("a.csv", b'text,label\nfine,1\n"never closed,0\n', "line 3: not a CSV row"),
        ("a.csv", b"id,review_body,stars_given\n1,fine,5\n", "'id', 'review_body', 'stars_given'"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.csv", b"", "has no rows"),
        ("a.csv", b"text,text,label\na,b,1\n", "two columns called 'text'"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"text": \n', "line 2: no JSON"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}\n', "line 2: the label"),
        ("a.parquet", b"PAR1 and nothing", "can't be read as Parquet"),
        ("a.xlsx", b"PK", "name it .csv"),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read_labelled(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_labelled(tmp_path / "none.csv")


def test_a_label_that_train_never_has_is_refused_with_its_line(tmp_path: Path, write_table: WriteTable) -> None:
    train = write_table(tmp_path / "train.csv", [("a", "x"), ("b", "y")])
    dev = write_table(tmp_path / "dev.csv", [("c", "x"), ("d", "z")])
    with pytest.raises(UserError, match="line 3: the label 'z'"):
        read_split(train, dev=dev)


def test_one_label_and_nothing_to_measure_on_are_refused(tmp_path: Path, write_table: WriteTable) -> None:
    train = write_table(tmp_path / "train.csv", [("a", "x"), ("b", "x")])
    with pytest.raises(UserError, match="one label only, 'x'"):
        read_split(train, dev=train)
    with pytest.raises(UserError, match="nothing to measure on"):
        read_split(train)


def test_texts_of_dev_that_are_in_train_are_counted(tmp_path: Path, write_table: WriteTable) -> None:
    train = write_table(tmp_path / "train.csv", [("A fine  film", "10"), ("b", "9")])
    dev = write_table(tmp_path / "dev.csv", [("a fine film", "10"), ("another", "9")])
    split = read_split(train, dev=dev)
    assert split.warnings == ("1 of the 2 texts of dev are in train too, which flatters its figures.",)
    assert split.labels == ("9", "10")


def test_a_file_without_header_has_numbered_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("to category\t飞行器控制器\t工学\nto category\t高血压\t医学\n", encoding="utf-8")
    found = read_labelled(path, text="2", label="3")
    assert (found.texts, found.labels) == (("飞行器控制器", "高血压"), ("工学", "医学"))
    assert found.places == ("line 1", "line 2")
    with pytest.raises(UserError, match="has no column '4'"):
        read_labelled(path, text="2", label="4")


def test_fields_of_any_length_and_utf_16_are_read(tmp_path: Path, write_table: WriteTable) -> None:
    long = "word " * 40_000  # longer than Python's csv takes by itself
    path = write_table(tmp_path / "a.csv", [(long, "1"), ("短", "0")])
    assert read_labelled(path).texts == (long, "短")
    (tmp_path / "b.csv").write_text("text,label\n短,1\n", encoding="utf-16")
    assert read_labelled(tmp_path / "b.csv").texts == ("短",)


def test_what_would_not_fit_into_memory_is_refused_where_it_gets_too_large(
    tmp_path: Path, write_table: WriteTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_table(tmp_path / "a.csv", [("x" * 40, "1"), ("y" * 40, "0"), ("z" * 40, "1")])
    compressed = tmp_path / "b.csv.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr("isoflop.adaptation.table.MOST_TEXT", 100)
    for file in (path, compressed):
        with pytest.raises(UserError, match="more than 100 characters of text by line 4"):
            read_labelled(file)
    monkeypatch.setattr("isoflop.adaptation.rows.LONGEST_LINE", 30)
    for file in (path, compressed):
        with pytest.raises(UserError, match="line 2 is over"):
            read_labelled(file)


def test_reading_a_large_file_holds_a_small_multiple_of_it(tmp_path: Path, write_table: WriteTable) -> None:
    path = write_table(tmp_path / "a.csv", [("word " * 400 + str(number), "1") for number in range(5000)])
    size = path.stat().st_size
    tracemalloc.start()
    try:
        assert len(read_labelled(path)) == 5000
        assert tracemalloc.get_traced_memory()[1] < 1.5 * size
    finally:
        tracemalloc.stop()


def test_a_data_set_is_read_by_its_parts_with_names_of_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "reviews"
    for part, rows in (("train", [("fine", 1), ("dull", 0)]), ("validation", [("good", 1)]), ("test", [("bad", 0)])):
        made = datasets.Dataset.from_dict(
            {"text": [text for text, _ in rows], "label": [label for _, label in rows]},
            features=datasets.Features(
                {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
            ),
        )
        (folder / part).mkdir(parents=True)
        made.to_parquet(folder / part / "0.parquet")
    split = read_split(Path(f"datasets:{folder}"))
    assert {name: (part.texts, part.labels) for name, part in split.parts.items()} == {
        "train": (("fine", "dull"), ("pos", "neg")),
        "dev": (("good",), ("pos",)),
        "test": (("bad",), ("neg",)),
    }
    assert split.train.places == ("row 1 of train", "row 2 of train")
    with pytest.raises(UserError, match="has no part 'tset': choose from train, validation, test"):
        read_labelled(Path(f"datasets:{folder}:tset"))
    with pytest.raises(UserError, match="datasets:nowhere can't be had"):
        read_split(Path("datasets:nowhere"))
