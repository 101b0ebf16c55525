"""Prompts and prefixes: what they let a token see, what they cost, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop.adaptation import Recipe
from isoflop.adaptation.methods import Lora, PrefixTuning, PromptTuning
from isoflop.adaptation.pretrained import read_pretrained
from isoflop.errors import UserError
from isoflop.generation import Decoding, Marks, generate_tokens
from isoflop.models import PADDING, Batch, Model, load_model, to_hugging_face
from isoflop.models.adapter import load_body, save_body
from isoflop.models.prompts import Prompt

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # peft's own, of transformers' newest names
    pytest.mark.filterwarnings("ignore:Position ids are not supported"),  # peft, of what transformers gives it
]
METHODS = [PrefixTuning(5), PromptTuning(5), PromptTuning(5, encoded=True)]


def body_of(folder: Path) -> Model:
    body, _ = load_model(folder)
    assert isinstance(body, Model)
    return body.eval()


def tokens(rows: int = 3, length: int = 12) -> Tensor:
    return torch.randint(0, 300, (rows, length), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("shape", [{"stack": "decoder"}, {"stack": "decoder", "positions": "alibi"}], ids=str)
def test_in_a_decoder_no_token_sees_a_later_one(method: Any, shape: Any, untrained: Callable[..., Path]) -> None:
    body = body_of(untrained(**shape))
    method.prepare(body, seed=0)
    whole = tokens()
    changed = torch.cat((whole[:, :-1], (whole[:, -1:] + 1) % 300), dim=1)
    first, second = body(Batch(whole, whole)), body(Batch(changed, changed))
    torch.testing.assert_close(first[:, :-1], second[:, :-1])
    assert (first[:, -1] - second[:, -1]).abs().max() > 1e-3


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_padding_changes_nothing(method: Any, stack: str, untrained: Callable[..., Path]) -> None:
    body = body_of(untrained(stack))
    method.prepare(body, seed=0)
    whole = tokens()
    padded = torch.cat((whole, torch.zeros_like(whole[:, :4])), dim=1)
    documents = torch.cat((torch.ones_like(whole), torch.full_like(whole[:, :4], PADDING)), dim=1)
    plain, found = body(Batch(whole, whole)), body(Batch(padded, padded, documents))
    torch.testing.assert_close(found[:, :12], plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_every_vector_of_a_prompt_and_every_place_of_a_prefix_is_used(
    stack: str, untrained: Callable[..., Path]
) -> None:
    for method in METHODS[:2]:
        body = body_of(untrained(stack))
        method.prepare(body, seed=0)
        body(Batch(tokens(), tokens())).square().mean().backward()
        trained = [weight for weight in body.parameters() if weight.requires_grad]
        places = [weight.grad.norm(dim=-1) if weight.ndim == 2 else weight.grad.norm(dim=(0, 2)) for weight in trained]
        assert all((place > 0).all() for place in places)
        # of two layers with two heads of keys and values, each 8 channels wide
        assert sum(weight.numel() for weight in trained) == (5 * 32 if len(trained) == 1 else 2 * 2 * 2 * 5 * 8)


def test_a_prompt_is_what_peft_puts_before_llama(untrained: Callable[..., Path], tmp_path: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    shape = {"norm": "rms", "feed_forward": "swiglu", "biases": "none", "tied": False}
    body, info = load_model(untrained("decoder", **shape))
    assert isinstance(body, Model)
    to_hugging_face(body, tmp_path, tokenizer=info.tokenizer)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5, token_dim=32)
    theirs = peft.get_peft_model(theirs, config).eval()
    PromptTuning(5).prepare(body.eval(), seed=0)
    assert isinstance(body.prompt, Prompt)
    with torch.no_grad():
        body.prompt.vectors_PD.copy_(theirs.prompt_encoder["default"].embedding.weight)
    found = theirs(input_ids=tokens(), attention_mask=torch.ones_like(tokens())).logits[:, 5:]
    torch.testing.assert_close(body(Batch(tokens(), tokens())), found, atol=2e-5, rtol=1e-4)
    answer = theirs.generate(input_ids=tokens(1), attention_mask=torch.ones(1, 12), do_sample=False, max_new_tokens=10)
    ours = generate_tokens(body, tokens(1).tolist(), decoding=Decoding(max_tokens=10), marks=Marks(frozenset()))
    assert list(ours[0].tokens) == answer[0, -10:].tolist()


def test_a_prefix_has_as_many_weights_as_that_of_peft(untrained: Callable[..., Path], tmp_path: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    shape = {"norm": "layer", "norm_place": "post", "biases": "all", "segments": 2, "kv_heads": 4, "transform": True}
    body, info = load_model(untrained("encoder", **shape, feed_forward="gelu"))
    assert isinstance(body, Model)
    to_hugging_face(body, tmp_path, tokenizer=info.tokenizer)
    theirs = transformers.BertModel.from_pretrained(tmp_path, add_pooling_layer=False)
    config = peft.PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=5)
    theirs = peft.get_peft_model(theirs, config).eval()
    PrefixTuning(5).prepare(body.eval(), seed=0)
    assert sum(w.numel() for w in body.parameters() if w.requires_grad) == theirs.get_nb_trainable_parameters()[0]


def test_a_prefix_starts_from_what_the_layers_give_to_tokens(untrained: Callable[..., Path]) -> None:
    body = body_of(untrained("decoder"))
    PrefixTuning(40).prepare(body, seed=0)  # more than the context of 32
    keys = body.get_parameter("blocks.1.attention.prefix.keys_KPC")
    assert keys.shape == (2, 40, 8)
    assert body.get_parameter("blocks.0.attention.prefix.keys_KPC").std() > 0
    assert not torch.equal(keys[:, 0], keys[:, 1])


def test_a_prompt_takes_places_of_the_context(untrained: Callable[..., Path]) -> None:
    recipe = Recipe(PromptTuning(20))
    assert recipe.tokens_of(32) == 12
    with pytest.raises(UserError, match="the model reads 32 tokens, of which prompt takes 20: ask for at most 12"):
        Recipe(PromptTuning(20), longest=13).tokens_of(32)
    with pytest.raises(UserError, match="no room"):
        Recipe(PromptTuning(31)).tokens_of(32)
    assert Recipe(PrefixTuning(20)).tokens_of(32) == 32


def test_what_cannot_be_is_refused(untrained: Callable[..., Path], tmp_path: Path) -> None:
    near = body_of(untrained("encoder", attention="window", attention_span=4))
    with pytest.raises(UserError, match="'window'"):
        PrefixTuning(5).prepare(near, seed=0)
    with pytest.raises(UserError, match="--prompt-length"):
        PromptTuning(0)
    Lora().prepare(near, seed=0)


def test_an_adapted_model_is_not_taken_for_an_ordinary_one(untrained: Callable[..., Path], tmp_path: Path) -> None:
    pretrained = read_pretrained(untrained("decoder"))
    PromptTuning(5).prepare(pretrained.model, seed=0)
    PromptTuning(5).finish(pretrained.model)
    save_body(tmp_path / "model", pretrained.model, pretrained.info)
    for folder in (tmp_path, tmp_path / "model"):
        with pytest.raises(UserError, match=r"has an adapter beside its model: go on from .*body"):
            read_pretrained(folder)
    assert read_pretrained(tmp_path / "model" / "body").info.shape == pretrained.info.shape
    (tmp_path / "model" / "body" / "weights.safetensors").rename(tmp_path / "model" / "adapter.safetensors")
    with pytest.raises(UserError, match=r"does not fit the model beside it|has no"):
        load_body(tmp_path / "model")
