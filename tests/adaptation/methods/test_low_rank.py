"""LoRA and DoRA against peft's, on the same checkpoint with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from isoflop.adaptation.methods import Lora
from isoflop.adaptation.methods.low_rank import LowRank
from isoflop.models import Batch, Model, load_model, to_hugging_face

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's own, of transformers' newest names

BERT = {
    "norm": "layer",
    "norm_place": "post",
    "biases": "all",
    "feed_forward": "gelu",
    "transform": True,
    "kv_heads": 4,
}
STOCK: dict[str, dict[str, Any]] = {
    "encoder": {**BERT, "positions": "learned", "segments": 2},
    "decoder": {"norm": "rms", "feed_forward": "swiglu", "biases": "none", "tied": False},
}
THEIRS = {
    "encoder": {
        "attention.qkv": ["attention.self.query", "attention.self.key", "attention.self.value"],
        "attention.out": ["attention.output.dense"],
        "feed_forward.up": ["intermediate.dense"],
        "feed_forward.down": ["output.dense"],
    },
    "decoder": {
        "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "attention.out": ["self_attn.o_proj"],
        "feed_forward.up": ["mlp.gate_proj", "mlp.up_proj"],
        "feed_forward.down": ["mlp.down_proj"],
    },
}
LAYERS = {"encoder": "encoder.layer.", "decoder": "model.layers."}


def stock_pair(stack: str, untrained: Callable[..., Path], folder: Path, *, targets: tuple[str, ...]) -> Any:
    """Our body, transformers' model of the same weights, and the paths of the layers in both that `targets` name."""
    body, info = load_model(untrained(stack, **STOCK[stack]))
    assert isinstance(body, Model)
    to_hugging_face(body, folder, tokenizer=info.tokenizer)
    loader = transformers.BertModel if stack == "encoder" else transformers.LlamaForCausalLM
    theirs = loader.from_pretrained(folder, **({"add_pooling_layer": False} if stack == "encoder" else {}))
    paths = {
        f"blocks.{at}.{ours}": [f"{LAYERS[stack]}{at}.{one}" for one in names]
        for at in range(body.shape.layers)
        for ours, names in THEIRS[stack].items()
        if ours.rpartition(".")[2] in targets
    }
    return body.eval(), theirs.eval(), paths


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("stack", ["encoder", "decoder"])
@pytest.mark.parametrize("targets", [("qkv", "out"), ("qkv", "out", "up", "down")])
def test_outputs_and_counts_are_those_of_peft(
    stack: str, decomposed: bool, targets: tuple[str, ...], untrained: Callable[..., Path], tmp_path: Path
) -> None:
    body, theirs, paths = stock_pair(stack, untrained, tmp_path, targets=targets)
    names = [one for group in paths.values() for one in group]
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=names, use_dora=decomposed)
    theirs = peft.get_peft_model(theirs, config).eval()
    Lora(3, targets, decomposed).prepare(body, seed=0)
    for ours, group in paths.items():
        copy_pairs(body.get_submodule(ours), [theirs.base_model.model.get_submodule(one) for one in group])
    assert sum(w.numel() for w in body.parameters() if w.requires_grad) == theirs.get_nb_trainable_parameters()[0]
    tokens = torch.randint(0, 300, (3, 20), generator=torch.Generator().manual_seed(0))
    mine = body.states(Batch(tokens, tokens)) if stack == "encoder" else body(Batch(tokens, tokens))
    found = theirs(tokens)
    expected = found.last_hidden_state if stack == "encoder" else found.logits
    torch.testing.assert_close(mine, expected, atol=2e-5, rtol=1e-4)


def copy_pairs(ours: nn.Module, theirs: list[Any]) -> None:
    """Draw the second matrices (and the magnitudes) of peft's layers, and give our layer all that theirs have."""
    assert isinstance(ours, LowRank)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for layer in theirs:
            layer.lora_B["default"].weight.normal_(std=0.3, generator=generator)
            if ours.magnitude_E is not None:
                size = layer.lora_magnitude_vector["default"].weight
                size *= 1 + 0.2 * torch.rand(size.shape, generator=generator)
        ours.down_RD.copy_(torch.cat([layer.lora_A["default"].weight for layer in theirs]))
        ours.up_Er.copy_(torch.cat([layer.lora_B["default"].weight for layer in theirs]))
        if ours.magnitude_E is not None:
            sizes = [layer.lora_magnitude_vector["default"].weight for layer in theirs]
            ours.magnitude_E.copy_(torch.cat(sizes))


@pytest.mark.parametrize("decomposed", [False, True])
def test_gradients_are_those_of_peft(decomposed: bool, untrained: Callable[..., Path], tmp_path: Path) -> None:
    body, theirs, paths = stock_pair("decoder", untrained, tmp_path, targets=("qkv",))
    names = [one for group in paths.values() for one in group]
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(r=3, lora_alpha=6, target_modules=names, use_dora=decomposed))
    Lora(3, ("qkv",), decomposed).prepare(body, seed=0)
    for ours, group in paths.items():
        copy_pairs(body.get_submodule(ours), [theirs.base_model.model.get_submodule(one) for one in group])
    tokens = torch.randint(0, 300, (3, 20), generator=torch.Generator().manual_seed(0))
    body(Batch(tokens, tokens)).square().mean().backward()
    theirs.eval()(tokens).logits.square().mean().backward()
    for ours, group in paths.items():
        layers = [theirs.base_model.model.get_submodule(one) for one in group]
        mine = body.get_submodule(ours)
        expected = torch.cat([layer.lora_B["default"].weight.grad for layer in layers])
        torch.testing.assert_close(mine.up_Er.grad, expected, atol=1e-6, rtol=1e-3)
        if decomposed:
            expected = torch.cat([layer.lora_magnitude_vector["default"].weight.grad for layer in layers])
            torch.testing.assert_close(mine.magnitude_E.grad, expected, atol=1e-6, rtol=1e-3)


def test_an_encoder_decoder_gets_pairs_in_all_its_attentions(untrained: Callable[..., Path]) -> None:
    body, _ = load_model(untrained("encoder_decoder", positions="relative"))
    assert isinstance(body, Model)
    tokens = torch.randint(0, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    batch = Batch(tokens, tokens, source=tokens)
    before = body.eval()(batch)
    Lora().prepare(body, seed=0)
    pairs = [path for path, layer in body.named_modules() if isinstance(layer, LowRank)]
    assert len(pairs) == 2 * 2 + 2 * (2 + 3)  # per layer: self-attention's two, cross-attention's q, kv and out
    torch.testing.assert_close(body(batch), before, atol=1e-5, rtol=1e-5)
