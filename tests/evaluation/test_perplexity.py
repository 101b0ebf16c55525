"""Every token counts once, with enough before it, as in plain passes through the model; bytes are the text's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.evaluation.conftest import CONTEXT, TEXT

from isoflop.errors import UserError
from isoflop.evaluation.language_model import LanguageModel, read_language_model
from isoflop.evaluation.perplexity import Reading, _causal_windows, measure_text
from isoflop.evaluation.texts import LEAST_UNITS, Document, Texts, read_texts, units_of
from isoflop.models import IGNORED, Batch


def texts(*contents: str) -> Texts:
    return Texts(tuple(Document(str(at), one) for at, one in enumerate(contents)), 0, False)


@torch.no_grad()
def plainly(model: LanguageModel, ids: list[int], stride: int) -> float:
    """Nats of `ids`, each window by a pass of its own through the model's logits."""
    row, total, done = [model.start, *ids], 0.0, 0
    while done < len(ids):
        end = min(len(ids), CONTEXT if done == 0 else done + stride)
        begin = max(0, end - CONTEXT)
        inputs = torch.tensor([row[begin:end]])
        logits = model.module(Batch(inputs, inputs))[0].double()
        nats = F.cross_entropy(logits, torch.tensor(row[begin + 1 : end + 1]), reduction="none")
        total += float(nats[done - begin :].sum())
        done = end
    return total


@pytest.mark.parametrize("length", [1, 5, CONTEXT, CONTEXT + 1, 100])
@pytest.mark.parametrize("stride", [1, 7, CONTEXT])
def test_each_token_is_predicted_once_with_enough_before_it(length: int, stride: int) -> None:
    ids = np.arange(length + 1)
    seen = []
    for one in _causal_windows(ids, ids, CONTEXT, stride):
        assert len(one.inputs) == min(CONTEXT, length)
        counted = np.flatnonzero(one.targets != IGNORED)
        seen += one.targets[counted].tolist()
        assert (one.units[counted] == one.targets[counted]).all()
        assert (one.targets[counted] == one.inputs[counted] + 1).all()
        before = counted + 1
        assert (before >= np.minimum(one.targets[counted], CONTEXT - stride + 1)).all()
    assert seen == list(range(1, length + 1))


@pytest.mark.parametrize("stride", [5, CONTEXT])
def test_nats_are_those_of_plain_passes(decoder: Path, stride: int) -> None:
    model = read_language_model(decoder / "model")
    contents = (TEXT[:40], TEXT[:200], "明月", TEXT[100:400])
    found = measure_text(model, texts(*contents), reading=Reading(stride=stride))
    encoded = [model.tokenizer.encode(one, add_special_tokens=False).ids for one in contents]
    assert found.tokens.sum() == sum(map(len, encoded))
    assert found.nats.sum() == pytest.approx(sum(plainly(model, ids, stride) for ids in encoded), rel=1e-5)


def test_documents_are_the_units_where_there_are_enough(decoder: Path) -> None:
    model = read_language_model(decoder / "model")
    contents = [TEXT[at : at + 30] for at in range(LEAST_UNITS)]
    found = measure_text(model, texts(*contents))
    assert found.units.what == "documents"
    for at in (0, 7, LEAST_UNITS - 1):
        ids = model.tokenizer.encode(contents[at]).ids
        assert found.nats[at] == pytest.approx(plainly(model, ids, CONTEXT // 2), rel=1e-5)
        assert found.tokens[at] == len(ids)
        assert found.units.bytes[at] == len(contents[at].encode())


def test_pieces_of_few_documents_share_out_all_bytes_and_tokens(decoder: Path, other_decoder: Path) -> None:
    given = texts(TEXT, TEXT[:300])
    found = [measure_text(read_language_model(one / "model"), given) for one in (decoder, other_decoder)]
    for one in found:
        assert len(one.units) >= LEAST_UNITS
        assert one.units.bytes.sum() == len(TEXT.encode()) + len(TEXT[:300].encode())
        assert (one.nats[one.tokens > 0] > 0).all()
    assert found[0].units.names == found[1].units.names
    assert (found[0].units.bytes == found[1].units.bytes).all()
    assert found[0].tokens.sum() != found[1].tokens.sum()


def test_a_token_belongs_to_the_piece_in_which_it_starts() -> None:
    units = units_of(texts("abcdefgh" * 8))
    assert len(units) == 32
    assert units.of(0, np.array([0, 1, 2, 3, 63])).tolist() == [0, 0, 1, 1, 31]


def test_the_exported_checkpoint_measures_the_same_and_so_does_transformers(decoder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours, theirs = (read_language_model(decoder / name) for name in ("model", "hf"))
    assert theirs.facts["class"] == "Decoder"
    stock = transformers.AutoModelForCausalLM.from_pretrained(decoder / "hf").eval()
    ids = ours.tokenizer.encode(TEXT).ids[: CONTEXT - 1]
    with torch.no_grad():
        loss = float(stock(input_ids=torch.tensor([[ours.start, *ids]]), labels=torch.tensor([[0, *ids]])).loss)
    text = ours.tokenizer.decode(ids)
    found = [measure_text(one, texts(text)) for one in (ours, theirs)]
    for one in found:
        assert one.nats.sum() / one.tokens.sum() == pytest.approx(loss, rel=1e-4)


def test_a_class_that_we_do_not_have_is_measured_through_transformers(tmp_path: Path, decoder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.OPTConfig(
        vocab_size=320, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=CONTEXT, word_embed_proj_dim=32, pad_token_id=0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.OPTForCausalLM(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((decoder / "hf" / name).read_text())
    model = read_language_model(tmp_path)
    assert model.facts["class"] == "OPTForCausalLM"
    assert "transformers" in model.notes[0]
    found = measure_text(model, texts(TEXT))
    assert found.nats.sum() == pytest.approx(plainly(model, model.tokenizer.encode(TEXT).ids, CONTEXT // 2), rel=1e-5)


def test_a_checkpoint_without_a_head_is_refused_and_not_drawn_by_chance(tmp_path: Path, decoder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPTNeoXConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.GPTNeoXModel(config).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text((decoder / "hf" / "tokenizer.json").read_text())
    with pytest.raises(UserError, match="has no weight"):
        read_language_model(tmp_path)


def test_masks_are_the_same_each_time_and_a_share_of_every_stretch(encoder: Path) -> None:
    model = read_language_model(encoder / "model")
    given = texts(TEXT, "short", TEXT[30:200])
    first, again = (measure_text(model, given) for _ in range(2))
    assert first.is_masked
    assert (first.nats == again.nats).all()
    other = measure_text(model, given, reading=Reading(mask_seed=1))
    assert first.nats.sum() != other.nats.sum()
    total = sum(len(model.tokenizer.encode(one.text).ids) for one in given.documents)
    assert first.tokens.sum() == pytest.approx(0.15 * total, rel=0.1)


def test_masked_nats_do_not_depend_on_what_stands_beside_in_the_batch(encoder: Path) -> None:
    model = read_language_model(encoder / "model")
    together = measure_text(model, texts(TEXT[:50], TEXT[:200]))
    alone = measure_text(model, texts(TEXT[:50]))
    at = sum(name.startswith("0") for name in together.units.names)
    assert together.nats[:at].sum() == pytest.approx(alone.nats.sum(), rel=1e-5)


def test_an_encoder_without_a_head_for_tokens_is_refused(tmp_path: Path, encoder: Path) -> None:
    config = (encoder / "hf" / "config.json").read_text()
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((encoder / "hf" / name).read_bytes())
    (tmp_path / "config.json").write_text(config.replace("ForMaskedLM", "Model"))
    with pytest.raises(UserError):
        read_language_model(tmp_path)


def test_a_text_that_tokens_do_not_give_back_is_told(decoder: Path) -> None:
    from tokenizers import normalizers

    model = read_language_model(decoder / "model")
    assert not any("give the text back" in note for note in measure_text(model, texts(TEXT)).notes)
    model.tokenizer.normalizer = normalizers.Lowercase()
    assert any("give the text back" in note for note in measure_text(model, texts(TEXT)).notes)


@torch.no_grad()
def test_without_a_start_token_the_first_token_is_paid_for_evenly(decoder: Path) -> None:
    model = dataclasses.replace(read_language_model(decoder / "model"), start=None)
    ids = model.tokenizer.encode("ab").ids
    found = measure_text(model, texts("ab"))
    inputs = torch.tensor([ids])
    logits = model.module(Batch(inputs, inputs))[0].double()
    rest = F.cross_entropy(logits[:-1], inputs[0, 1:], reduction="sum")
    assert found.nats.sum() == pytest.approx(np.log(model.vocab) + float(rest), rel=1e-5)
    assert found.tokens.sum() == len(ids)


@pytest.mark.parametrize(
    ("reading", "word"), [({"window": 25}, "window"), ({"window": 1}, "window"), ({"stride": 0}, "stride")]
)
def test_windows_that_can_not_be_are_told(decoder: Path, reading: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        measure_text(read_language_model(decoder / "model"), texts("a"), reading=Reading(**reading))


def test_bytes_are_those_of_the_text_as_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("静夜思\n", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(b"a\xffb")
    (tmp_path / "blank.txt").write_text(" \n")
    found = read_texts([str(tmp_path)])
    assert [one.name for one in found.documents] == ["a.txt", "b.txt"]
    assert (found.bytes, found.replaced, found.cut) == (10 + 5, 1, False)


def test_the_first_bytes_end_with_a_whole_character(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("静夜思", encoding="utf-8")
    found = read_texts([str(tmp_path)], most_bytes=7)
    assert (found.documents[0].text, found.cut) == ("静夜", True)


def test_a_path_that_matches_nothing_is_told_in_the_words_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^'.*nowhere' is no file"):
        read_texts([str(tmp_path / "nowhere")])
    (tmp_path / "a.jsonl").write_text('{"body": "x"}\n')
    with pytest.raises(UserError, match="--column"):
        read_texts([str(tmp_path / "a.jsonl")])
