"""What holds for checkpoints of every class: the tokenizer, files in parts, damage, no need of transformers."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from isoflop.data.tokens import TokenizerConfig, train_tokenizer
from isoflop.errors import UserError
from isoflop.models import from_hugging_face, to_hugging_face
from isoflop.models.hugging_face import EXPORTED
from isoflop.shapes import ModelShape
from models.hugging_face_models import trained

SOURCE = Path(__file__).resolve().parents[2] / "src"
SHAPE = ModelShape(layers=1, width=32, heads=4, vocab=400, context=16, ffn=40, norm="plain", tied=True)
TEXTS = (
    "Hello 世界 🙂🙃 naïve  two  spaces 1234567 I've 3.14\n\n\ttabs",
    " leading, trailing ",
    "the end<|endoftext|>the start",
    "",
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE with merges of digits and of Chinese, and special tokens behind the text's own."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    text = ["I've 1234567 words, and some more words of 世界 that 1234567 people don't read"] * 9
    bpe = train_tokenizer(iter(text), TokenizerConfig(vocab=340))
    bpe.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    bpe.save(str(path))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    to_hugging_face(trained(SHAPE, "u-mup"), folder, tokenizer=tokenizer)
    return folder


def without_a_net(*_: object) -> None:
    raise AssertionError("something asked the net")


@pytest.mark.parametrize("model_type", sorted({stock.model_type for stock in EXPORTED}))
def test_the_tokenizer_that_transformers_loads_is_the_very_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checkpoint: Path, tokenizer: Path, model_type: str
) -> None:
    """For every class that export knows: transformers picks the tokenizer's class by the model's."""
    monkeypatch.setattr(socket.socket, "connect", without_a_net)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    config = json.loads((checkpoint / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
    ours, theirs = Tokenizer.from_file(str(tokenizer)), AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ids = theirs(text)["input_ids"]
        assert ids == ours.encode(text).ids
        assert theirs.decode(ids) == text
    assert len(theirs) == ours.get_vocab_size()
    assert theirs.eos_token_id == theirs.bos_token_id == ours.token_to_id("<|endoftext|>")
    assert (theirs.pad_token, theirs.mask_token) == ("[PAD]", "[MASK]")
    assert (theirs.cls_token, theirs.sep_token) == ("[CLS]", "[SEP]")


def test_text_goes_in_and_comes_out_of_a_loaded_checkpoint(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    monkeypatch.setattr(socket.socket, "connect", without_a_net)
    theirs, tokenizer = AutoModelForCausalLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    batch = tokenizer(["I've read", "some more words"], return_tensors="pt", padding=True, padding_side="left")
    out = theirs.generate(**batch, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert out.shape == (2, batch["input_ids"].shape[1] + 4)
    assert theirs.generation_config.eos_token_id == tokenizer.eos_token_id
    assert theirs.generation_config.pad_token_id == tokenizer.pad_token_id


def test_a_decoder_that_reads_an_encoder_begins_with_padding_and_pads_with_it(tmp_path: Path, tokenizer: Path) -> None:
    shape = dataclasses.replace(SHAPE, stack="encoder_decoder", positions="relative", feed_forward="relu")
    to_hugging_face(trained(shape, "sp"), tmp_path, tokenizer=tokenizer)
    pad = Tokenizer.from_file(str(tokenizer)).token_to_id("[PAD]")
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert theirs.config.decoder_start_token_id == theirs.config.pad_token_id == pad
    out = theirs.generate(**AutoTokenizer.from_pretrained(tmp_path)("I've read", return_tensors="pt"), max_new_tokens=3)
    assert out[0, 0] == pad


def test_neither_way_needs_transformers(tmp_path: Path, checkpoint: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom isoflop.models import from_hugging_face, to_hugging_face\n"
        f"model, info = from_hugging_face(Path({str(checkpoint)!r}))\n"
        f"to_hugging_face(model, Path({str(tmp_path)!r}), tokenizer=info.tokenizer)\n"
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)})
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / name).read_bytes() == (checkpoint / name).read_bytes()


def test_weights_in_several_files_are_read(tmp_path: Path, checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    half = len(weights) // 2
    files = {
        "model-00001-of-00002.safetensors": [*weights][:half],
        "model-00002-of-00002.safetensors": [*weights][half:],
    }
    for file, names in files.items():
        save_file({name: weights[name] for name in names}, tmp_path / file)
    index = {"weight_map": {name: file for file, names in files.items() for name in names}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    whole, parts = from_hugging_face(checkpoint)[0], from_hugging_face(tmp_path)[0]
    assert all(a.equal(b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model-00002-of-00002\.safetensors"):
        from_hugging_face(tmp_path)


def test_each_damage_is_told(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        from_hugging_face(tmp_path)
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no model\.safetensors, and .* pickle"):
        from_hugging_face(tmp_path)
    weights = load_file(checkpoint / "model.safetensors")
    for change, words in (
        ({"model.norm.bias": torch.zeros(32)}, r"has the weight model\.norm\.bias, which no LlamaForCausalLM"),
        ({"model.norm.weight": torch.zeros(31)}, r"norm\.weight is \(31,\), not \(32,\)"),
        ({"lm_head.weight": torch.zeros(400, 32)}, "ties its head"),
    ):
        save_file({**weights, **change}, tmp_path / "model.safetensors")
        with pytest.raises(UserError, match=words):
            from_hugging_face(tmp_path)
    save_file({name: weights[name] for name in weights if "o_proj" not in name}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"blocks\.0\.attention\.out\.weight is missing"):
        from_hugging_face(tmp_path)
