"""Pairs are read from every common form, padded exactly, and what is no pair is named with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isoflop.data import PairBatches, TokenizerConfig, Vocabulary, encode_pairs, read_pairs
from isoflop.data.special_tokens import PAD
from isoflop.data.tokens import train_tokenizer
from isoflop.errors import UserError
from isoflop.models import IGNORED

PAIRS = [("a cat", "eine Katze"), ('the "mat", here', "die Matte"), ("你好", "hello")]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_same_pairs_come_from_every_form(tmp_path: Path) -> None:
    tsv = write(tmp_path / "p.tsv", "".join(f"{a}\t{b}\textra\n" for a, b in PAIRS))
    rows = "".join(f'{b},"{a.replace(chr(34), chr(34) * 2)}"\r\n' for a, b in PAIRS)
    table = write(tmp_path / "p.csv", "de,en\r\n" + rows)
    lines = write(
        tmp_path / "p.jsonl",
        '{"source": "a cat", "target": "eine Katze"}\n\n{"source": "the \\"mat\\", here", "target": "die Matte"}\n'
        '{"source": "你好", "target": "hello"}\n',
    )
    one = write(tmp_path / "p.en", "".join(f"{a}\n" for a, _ in PAIRS))
    other = write(tmp_path / "p.de", "\r\n".join(b for _, b in PAIRS))
    assert read_pairs([tsv]) == PAIRS
    assert read_pairs([table], columns=("en", "de")) == PAIRS
    assert read_pairs([lines]) == PAIRS
    assert read_pairs([one, other]) == PAIRS


def test_a_text_over_several_lines_stays_one_cell(tmp_path: Path) -> None:
    table = write(tmp_path / "p.csv", '"one\ntwo",b\n')
    assert read_pairs([table]) == [("one\ntwo", "b")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.tsv", "a\tb\nalone\n", "line 2: 1 columns, too few"),
        ("p.tsv", "a\tb\nc\t \n", "line 2: a side of the pair is empty"),
        ("p.jsonl", '{"source": "a"}\n', "line 1: no pair of 'source' and 'target'"),
        ("p.jsonl", "nonsense\n", "line 1: no pair"),
        ("p.csv", "", "holds no pairs"),
    ],
)
def test_what_is_no_pair_is_named_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_pairs([write(tmp_path / name, text)])


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a", "x\ny\n"), write(tmp_path / "b", "x\n")
    with pytest.raises(UserError, match=r"2 lines and .* has 1"):
        read_pairs([one, other])
    with pytest.raises(UserError, match="can't be read"):
        read_pairs([tmp_path / "missing.tsv"])
    with pytest.raises(UserError, match="no column 'fr'"):
        read_pairs([write(tmp_path / "p.csv", "en,de\na,b\n")], columns=("en", "fr"))


def test_a_batch_holds_its_pairs_and_padding_that_is_neither_seen_nor_predicted() -> None:
    bpe = train_tokenizer(iter([" ".join(a + b for a, b in PAIRS)]), TokenizerConfig(vocab=257))
    vocabulary = Vocabulary.of(bpe, (PAD,))
    encoded = encode_pairs(PAIRS, bpe, context=40, end=vocabulary.end)
    pad, found = vocabulary.number(PAD), set()
    for step in range(3):
        batch = PairBatches(encoded, 2, 0, vocabulary).at(step)
        assert batch.source is not None
        assert batch.source_documents is not None
        assert batch.documents is not None
        for row in range(2):
            source = [
                t for t, d in zip(batch.source[row].tolist(), batch.source_documents[row].tolist(), strict=True) if d
            ]
            targets = [t for t in batch.targets[row].tolist() if t != IGNORED]
            assert (batch.documents[row] != 0).sum() == len(targets)
            assert batch.inputs[row].tolist()[: len(targets)] == [pad, *targets[:-1]]
            assert set(batch.inputs[row].tolist()[len(targets) + 1 :]) <= {pad}
            assert set(batch.source[row].tolist()[len(source) :]) <= {pad}
            assert source.pop() == targets.pop() == vocabulary.end
            found.add((bpe.decode(source), bpe.decode(targets)))
        lengths = [
            max((part[row] != 0).sum() for row in range(2)) for part in (batch.source_documents, batch.documents)
        ]
        assert lengths == [batch.source.shape[1], batch.inputs.shape[1]]
    assert found == set(PAIRS)


def test_texts_beyond_the_context_are_refused_and_not_cut() -> None:
    bpe = train_tokenizer(iter(["abc"]), TokenizerConfig(vocab=257))
    assert len(encode_pairs([("abcd", "ab")], bpe, context=5, end=0)[0][0]) == 5
    with pytest.raises(UserError, match="longest text of the pairs has 6 tokens with its end, the context 5"):
        encode_pairs([("abcde", "ab")], bpe, context=5, end=0)


def test_too_few_pairs_for_a_batch_are_refused() -> None:
    vocabulary = Vocabulary(10, 0, (PAD,), np.zeros(10, dtype=bool))
    with pytest.raises(UserError, match="1 pairs, less than one batch of 2"):
        PairBatches([((1, 0), (2, 0))], 2, 0, vocabulary)
