"""Counts by convention, and FLOPs, against figures worked out elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isoflop.shapes import ModelShape, count_params, matmul_params, published_shape, train_flops_per_token


def test_conventions_add_up_and_a_tied_head_is_counted_once() -> None:
    tied = published_shape("qwen2.5-0.5b")
    untied = replace(tied, tied=False)
    assert count_params(tied).head == 0
    assert count_params(untied).total - count_params(tied).total == tied.vocab * tied.width
    # The model card gives 0.36B parameters without the embedding.
    assert count_params(tied).body == pytest.approx(0.36e9, rel=0.01)


def test_only_active_experts_multiply_a_token() -> None:
    mixtral = published_shape("mixtral-8x7b")
    # The paper gives 13B active parameters; embedding rows are looked up, not multiplied.
    assert matmul_params(mixtral) == pytest.approx(12.75e9, rel=0.005)
    dense = replace(mixtral, experts=1, active_experts=1)
    assert matmul_params(mixtral) - matmul_params(dense) == 32 * (3 * 4096 * 14336 + 4096 * 8)


def test_flops_of_a_gpt_are_those_of_the_megatron_formula() -> None:
    # Narayanan et al. 2021 (arXiv 2104.04473, equation 3) without recomputation: 72 B s l h^2 (1 + s/6h + V/12lh).
    shape = published_shape("gpt3-175b")
    s, layers, h, v = shape.context, shape.layers, shape.width, shape.vocab
    assert train_flops_per_token(shape) == pytest.approx(
        72 * layers * h**2 * (1 + s / (6 * h) + v / (12 * layers * h)), rel=1e-12
    )


def test_a_token_passes_one_stack_of_two() -> None:
    both = ModelShape(6, 512, 8, vocab=1000, context=128, ffn=2048, feed_forward="relu", stack="encoder_decoder")
    encoder = replace(both, stack="encoder")
    cross = 6 * 4 * 512 * 512
    assert 2 * matmul_params(both) == 2 * matmul_params(encoder) - 1000 * 512 + cross


def test_a_pattern_counts_the_keys_that_it_holds() -> None:
    full = ModelShape(6, 512, 8, vocab=1000, context=128, ffn=2048)

    def attention_flops(**changes) -> int:
        shape = replace(full, **changes)
        return train_flops_per_token(shape) - 6 * matmul_params(shape)

    whole = attention_flops()
    assert attention_flops(attention="window", attention_span=16) == whole * 16 / 128
    assert attention_flops(attention="window", attention_span=16, stack="encoder") == whole * 31 / 128
    assert attention_flops(attention="block", attention_span=16, stack="encoder") == whole * 16 / 128
    assert attention_flops(attention="strided", attention_span=16) == whole * (16 + 8) / 128
    assert attention_flops(attention="window", attention_span=4096) == whole
