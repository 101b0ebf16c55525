"""A GGUF file becomes the model that transformers computes of it, with its tokenizer and its chat template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from isoflop.cli.app import app
from isoflop.errors import UserError
from isoflop.models import Batch, from_hugging_face, load_model
from isoflop.models.through_transformers import as_checkpoint, gguf_of, read_stock

gguf = pytest.importorskip("gguf", reason="gguf is not installed")
LAYERS, WIDTH, HEADS, KV_HEADS, FFN = 2, 32, 4, 2, 64
TOKENS = [*"abcdefghij", "Ġ", "<|endoftext|>", "ab", "Ġa"]
CHAT = "{% for message in messages %}{{ message['content'] }}<|endoftext|>{% endfor %}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small Llama as llama.cpp's tools write it."""
    path, draw = tmp_path / "small.gguf", np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3 if token == "<|endoftext|>" else 1 for token in TOKENS])
    writer.add_token_merges(["a b", "Ġ a"])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(TOKENS.index("<|endoftext|>"))
    writer.add_chat_template(CHAT)
    kv = WIDTH // HEADS * KV_HEADS
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (kv, WIDTH), "attn_v": (kv, WIDTH), "attn_output": (WIDTH, WIDTH)}
    shapes |= {"ffn_gate": (FFN, WIDTH), "ffn_up": (FFN, WIDTH), "ffn_down": (WIDTH, FFN)}
    shapes |= {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}
    every = {f"blk.{layer}.{name}.weight": shape for layer in range(LAYERS) for name, shape in shapes.items()}
    every |= {"token_embd.weight": (len(TOKENS), WIDTH), "output_norm.weight": (WIDTH,)}
    for name, shape in every.items():
        writer.add_tensor(name, draw.normal(0, 0.3, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_imported_file_computes_what_transformers_computes_of_it(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = CliRunner().invoke(app, ["import", str(file), "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    stock, tokenizer = read_stock(file.parent, file.name)
    model, info = load_model(out)
    assert (info.shape.layers, info.shape.kv_heads, info.shape.tied) == (LAYERS, KV_HEADS, True)
    ids = tokenizer("abc de a", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        wanted = stock(input_ids=ids).logits
        assert wanted.std() > 0.1
        assert (model.eval()(Batch(ids, ids)) - wanted).abs().max() <= 1e-4
    assert info.tokenizer is not None
    said = CliRunner().invoke(app, ["generate", str(out), "ab", "--max-tokens", "3", "--chat"], catch_exceptions=False)
    assert said.exit_code == 0, said.output


def test_what_is_no_gguf_file_stays_and_what_is_one_is_named_where_a_checkpoint_is_wanted(
    file: Path, tmp_path: Path
) -> None:
    assert gguf_of(file) == gguf_of(file.parent) == file
    assert gguf_of(tmp_path / "nothing") is None
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "beside.gguf").touch()
    (tmp_path / "ours" / "model.json").touch()
    assert gguf_of(tmp_path / "ours") is None
    with as_checkpoint(tmp_path / "nothing") as same:
        assert same == tmp_path / "nothing"
    with pytest.raises(UserError, match=r"small\.gguf is a GGUF file: .* isoflop import"):
        from_hugging_face(file.parent)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match="can't read it"), as_checkpoint(broken):
        pass
