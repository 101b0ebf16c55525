"""With the same weights, our stacks give the logits of BERT, GPT-2, Llama, Qwen 3 and T5 as `transformers` has them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from isoflop.models import IGNORED, Batch, Decoder, Encoder, EncoderDecoder
from isoflop.shapes import ModelShape
from models.transformers_weights import bert_weights, gpt2_weights, llama_weights, randomised, t5_weights

VOCAB, WIDTH, HEADS, LAYERS, CONTEXT, FFN = 61, 32, 4, 3, 24, 80
SCALE = (WIDTH // HEADS) ** -0.5
TOLERANCE = 1e-4


def tokens(rows: int = 3, length: int = CONTEXT, seed: int = 0) -> Tensor:
    return torch.randint(1, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def padding(rows: int = 3, length: int = CONTEXT) -> Tensor:
    """1 where there is a token: row r ends 5·r tokens early."""
    return (torch.arange(length) < length - 5 * torch.arange(rows)[:, None]).long()


def reading(inputs: Tensor, **parts: Tensor) -> Batch:
    return Batch(inputs, torch.full_like(inputs, IGNORED), **parts)


def assert_same(ours: Tensor, theirs: Tensor, there: Tensor | None = None) -> None:
    there = torch.ones(ours.shape[:2]) if there is None else there
    assert theirs[there.bool()].std() > 0.2  # logits that differ enough for the tolerance to mean something
    assert (ours - theirs)[there.bool()].abs().max() < TOLERANCE


def shape(**changes: object) -> ModelShape:
    sizes = {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "vocab": VOCAB, "context": CONTEXT, "ffn": FFN}
    return ModelShape(**(sizes | changes))  # type: ignore[arg-type]


def gpt2() -> tuple[GPT2LMHeadModel, Decoder]:
    config = GPT2Config(vocab_size=VOCAB, n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=FFN)
    theirs = randomised(GPT2LMHeadModel(config))
    ours = Decoder(
        shape(feed_forward="gelu_tanh", tied=True, norm="layer", biases="all", positions="learned", norm_eps=1e-5,
              dropout=0.1),
        logit_scale=SCALE,
    ).eval()  # fmt: skip
    weights = gpt2_weights(theirs.transformer.state_dict(), LAYERS)
    ours.load_state_dict(weights | {"head.weight": weights["embedding.weight"]})
    return theirs, ours


def llama_like(config: object, model: type, **changes: object) -> tuple[torch.nn.Module, Decoder]:
    theirs = randomised(model(config))
    ours = Decoder(shape(kv_heads=2, norm_eps=1e-5, **changes), logit_scale=SCALE).eval()
    head = {"head.weight": theirs.lm_head.weight}
    ours.load_state_dict(llama_weights(theirs.model.state_dict(), LAYERS) | head)
    return theirs, ours


LLAMA = {
    "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5,
    "head_dim": WIDTH // HEADS,
}  # fmt: skip


@torch.no_grad()
def test_gpt2() -> None:
    theirs, ours = gpt2()
    assert_same(ours(reading(tokens())), theirs(tokens()).logits)


@torch.no_grad()
def test_gpt2_with_padding() -> None:
    theirs, ours = gpt2()
    there = padding()
    logits = ours(reading(tokens(), documents=there))
    assert_same(logits, theirs(tokens(), attention_mask=there).logits, there)
    assert logits.isfinite().all()


@torch.no_grad()
def test_gpt2_with_packed_documents_is_gpt2_on_each_alone() -> None:
    theirs, ours = gpt2()
    documents = torch.tensor([[1] * 7 + [2] * 12 + [3] * 3 + [0] * 2])
    logits = ours(reading(tokens(1), documents=documents))
    for number in (1, 2, 3):
        mine = documents[0] == number
        assert_same(logits[:, mine], theirs(tokens(1)[:, mine]).logits)


@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True])
def test_llama(tied: bool) -> None:
    config = LlamaConfig(
        **LLAMA, tie_word_embeddings=tied, rope_parameters={"rope_type": "default", "rope_theta": 500.0}
    )
    theirs, ours = llama_like(config, LlamaForCausalLM, tied=tied, rotary_base=500.0)
    assert_same(ours(reading(tokens())), theirs(tokens()).logits)


@torch.no_grad()
def test_llama_with_packed_documents() -> None:
    theirs, ours = llama_like(LlamaConfig(**LLAMA), LlamaForCausalLM)
    documents = torch.tensor([[1] * 9 + [2] * 15, [1] * 20 + [2] * 4, [4] * 24])
    same = documents[:, :, None] == documents[:, None, :]
    causal = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril()
    mask = (same & causal)[:, None]
    assert_same(ours(reading(tokens(), documents=documents)), theirs(tokens(), attention_mask=mask).logits)


@torch.no_grad()
@pytest.mark.parametrize("stretch", ["ntk", "yarn"])
def test_llama_with_a_stretched_rotation(stretch: str) -> None:
    original = {"factor": 4.0, "rope_theta": 10_000.0, "original_max_position_embeddings": CONTEXT // 4}
    if stretch == "yarn":
        parameters = original | {"rope_type": "yarn"}
    else:  # the same base, written as a base: no stock class stretches statically by NTK
        size = WIDTH // HEADS
        parameters = {"rope_type": "default", "rope_theta": 10_000.0 * 4 ** (size / (size - 2))}
    theirs, ours = llama_like(
        LlamaConfig(**LLAMA, rope_parameters=parameters), LlamaForCausalLM, rotary_stretch=stretch, rotary_factor=4.0
    )
    assert_same(ours(reading(tokens())), theirs(tokens()).logits)


@torch.no_grad()
def test_qwen2_has_biases_on_queries_keys_and_values() -> None:
    theirs, ours = llama_like(Qwen2Config(**LLAMA), Qwen2ForCausalLM, biases="qkv")
    assert_same(ours(reading(tokens())), theirs(tokens()).logits)


@torch.no_grad()
def test_qwen2_with_a_sliding_window() -> None:
    config = Qwen2Config(**LLAMA, use_sliding_window=True, sliding_window=5, max_window_layers=0)
    theirs, ours = llama_like(config, Qwen2ForCausalLM, biases="qkv", attention="window", attention_span=5)
    assert_same(ours(reading(tokens())), theirs(tokens()).logits)


@torch.no_grad()
def test_qwen3_norms_queries_and_keys() -> None:
    theirs, ours = llama_like(Qwen3Config(**LLAMA), Qwen3ForCausalLM, qk_norm=True)
    assert_same(ours(reading(tokens())), theirs(tokens()).logits)


@torch.no_grad()
@pytest.mark.parametrize("padded", [False, True])
def test_bert_with_both_heads(padded: bool) -> None:
    config = BertConfig(
        vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=FFN, max_position_embeddings=CONTEXT,
    )  # fmt: skip
    theirs = randomised(BertForPreTraining(config))
    ours = Encoder(
        shape(stack="encoder", feed_forward="gelu", tied=True, norm="layer", biases="all", positions="learned",
              segments=2, pooler=True, transform=True, norm_place="post", norm_eps=1e-12, dropout=0.1),
        logit_scale=SCALE,
    ).eval()  # fmt: skip
    ours.load_state_dict(bert_weights(theirs.state_dict(), LAYERS))
    there = padding() if padded else torch.ones_like(tokens())
    segments = (torch.arange(CONTEXT) > 9).long().expand(3, -1)
    expected = theirs(tokens(), attention_mask=there, token_type_ids=segments)
    batch = (
        reading(tokens(), segments=segments) if not padded else reading(tokens(), documents=there, segments=segments)
    )
    assert_same(ours(batch), expected.prediction_logits, there)
    assert (ours.pair_logits(batch) - expected.seq_relationship_logits).abs().max() < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_t5(version: str, padded: bool) -> None:
    first = version == "1.0"
    config = T5Config(
        vocab_size=VOCAB, d_model=WIDTH, d_kv=6, d_ff=FFN, num_layers=LAYERS, num_heads=HEADS,
        feed_forward_proj="relu" if first else "gated-gelu", tie_word_embeddings=first, decoder_start_token_id=0,
    )  # fmt: skip
    theirs = randomised(T5ForConditionalGeneration(config), spread=0.2)  # its logits have no scale
    ours = EncoderDecoder(
        shape(stack="encoder_decoder", size_per_head=6, tied=first, feed_forward="relu" if first else "geglu",
              positions="relative", dropout=0.1),
        logit_scale=6**-0.5,
    ).eval()  # fmt: skip
    ours.load_state_dict(
        t5_weights(theirs.state_dict(), LAYERS, head_size=6, scaled=theirs.config.scale_decoder_outputs)
    )
    source, there = tokens(seed=1, length=200), padding(length=200)
    batch = reading(tokens(), source=source)
    if padded:
        batch = batch._replace(source_documents=there)
    expected = theirs(source, attention_mask=there if padded else None, decoder_input_ids=tokens()).logits
    assert_same(ours(batch), expected)
