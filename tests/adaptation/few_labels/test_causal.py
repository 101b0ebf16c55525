"""Scores of continuations are those of each sequence alone, by our models and by transformers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from isoflop.adaptation.few_labels.causal import Continuation, read_causal
from isoflop.errors import UserError
from isoflop.evaluation.language_model import StockModel
from isoflop.models import Batch, Decoder, load_model, to_hugging_face

SHARED = tuple(range(20, 38))
ASKED = [
    Continuation((*SHARED, 5), (7,)),
    Continuation((*SHARED, 5), (8,)),
    Continuation((*SHARED, 5), (8, 9, 10)),
    Continuation((*SHARED, 5, 6, 11, 12), (7,)),
    Continuation((*SHARED, 40), (41, 42)),
]


def alone(model: torch.nn.Module, one: Continuation) -> float:
    """ln P by one plain pass over the whole sequence."""
    row = torch.tensor([one.before + one.behind])
    with torch.no_grad():
        logs = torch.log_softmax(model(Batch(row, row)).double(), dim=-1)[0]
    return sum(float(logs[len(one.before) + at - 1, token]) for at, token in enumerate(one.behind))


@pytest.fixture(scope="module")
def exported(decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny decoder as a Hugging Face checkpoint."""
    folder = tmp_path_factory.mktemp("exported")
    model, info = load_model(decoder)
    to_hugging_face(model, folder, tokenizer=info.tokenizer)
    return folder


def test_neither_batches_nor_a_common_beginning_change_a_score(decoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    causal = read_causal(decoder)
    assert isinstance(causal.decoder, Decoder)
    wanted = [alone(causal.decoder, one) for one in ASKED]
    assert causal.log_probabilities(ASKED) == pytest.approx(wanted, abs=1e-5)
    monkeypatch.setattr("isoflop.adaptation.few_labels.causal.WORTH_REMEMBERING", 100)
    assert causal.log_probabilities(ASKED) == pytest.approx(wanted, abs=1e-5)


def test_transformers_says_the_same_and_computes_the_common_beginning_once(decoder: Path, exported: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours, imported = read_causal(decoder), read_causal(exported)
    assert isinstance(imported.decoder, Decoder)
    lengths: list[int] = []

    class Noted(transformers.LlamaForCausalLM):  # type: ignore[misc, name-defined]
        def forward(self, tokens: torch.Tensor, **how: Any) -> Any:
            lengths.append(tokens.shape[1])
            return super().forward(tokens, **how)

    found = replace(ours, decoder=StockModel(Noted.from_pretrained(exported).eval())).log_probabilities(ASKED)
    assert found == pytest.approx(ours.log_probabilities(ASKED), abs=1e-4)
    assert found == pytest.approx(imported.log_probabilities(ASKED), abs=1e-4)
    assert lengths[0] == len(SHARED)
    assert max(lengths[1:]) < 5  # of sequences of up to 22 tokens


def test_a_class_without_a_shape_here_is_computed_by_transformers(exported: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.OPTConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=32, word_embed_proj_dim=16
    )
    torch.manual_seed(0)
    model = transformers.OPTForCausalLM(config).eval()
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(exported / name, tmp_path)
    causal = read_causal(tmp_path)
    assert "computed by transformers (OPTForCausalLM)" in causal.notes[0]
    row = torch.tensor([[*ASKED[2].before, *ASKED[2].behind]])
    with torch.no_grad():
        logs = torch.log_softmax(model(row).logits.double(), dim=-1)[0]
    wanted = sum(float(logs[len(ASKED[2].before) + at - 1, token]) for at, token in enumerate(ASKED[2].behind))
    assert causal.log_probabilities([ASKED[2]]) == pytest.approx([wanted], abs=1e-5)


def test_a_tokenizer_of_five_words_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "model")
    five = {"[UNK]": 0, "a": 1, "b": 2, "c": 3, "d": 4}
    record = {"version": "1.0", "model": {"type": "WordLevel", "vocab": five, "unk_token": "[UNK]"}}
    (folder / "tokenizer.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="another model's"):
        read_causal(folder)


def test_what_is_no_causal_model_is_refused(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no decoder"):
        read_causal(encoder)
    with pytest.raises(UserError, match="There is no folder or GGUF"):
        read_causal(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model", "architectures": ["NoSuchModel"]}')
    with pytest.raises(UserError, match="NoSuchModel, and only these"):
        read_causal(tmp_path)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and nothing")
    with pytest.raises(UserError, match="can't read it as a causal model"):
        read_causal(tmp_path / "broken.gguf")
