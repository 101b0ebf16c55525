"""Published models as shapes, each with its source and the parameter count that was published with it.

Counts are those of the released weights (`exact`); of GPT-3 no weights were released, and its table rounds. What a
model computes goes as far as a shape can say it: GPT-3's every second layer is sparse, Pythia turns a quarter of each
head and runs attention and feed-forward side by side, Llama 3.2 stretches its rotation in a way of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from isoflop.errors import UserError
from isoflop.shapes.model_shape import ModelShape


@dataclass(frozen=True)
class PublishedShape:
    """A published model: its shape, the parameters published with it and where both are to be found."""

    name: str
    shape: ModelShape
    params: int
    source: str
    exact: bool = True


def published_shape(name: str) -> ModelShape:
    """The shape of a published model by its name. Raises `UserError`, with the nearest names, for one not known."""
    table = published_shapes()
    if name.lower() not in table:
        near = difflib.get_close_matches(name.lower(), table, n=3, cutoff=0.3)
        raise UserError(f"No published model is called {name!r}: did you mean {', '.join(near) or 'gpt2'}?")
    return table[name.lower()].shape


@cache
def published_shapes() -> Mapping[str, PublishedShape]:
    """Every published model known here, by name."""
    families = (_gpt2(), _gpt3(), _llama(), _pythia(), _bert(), _t5(), _qwen(), _smollm(), _mixtral())
    return MappingProxyType({one.name: one for family in families for one in family})


def _gpt2() -> tuple[PublishedShape, ...]:
    source = "Radford et al. 2019, table 2; huggingface.co/openai-community/gpt2*"
    rows = (
        ("gpt2", 12, 768, 12, 124_439_808),
        ("gpt2-medium", 24, 1024, 16, 354_823_168),
        ("gpt2-large", 36, 1280, 20, 774_030_080),
        ("gpt2-xl", 48, 1600, 25, 1_557_611_200),
    )
    return tuple(
        PublishedShape(name, replace(_gpt(layers, width, heads, context=1024), dropout=0.1), params, source)
        for name, layers, width, heads, params in rows
    )


def _gpt3() -> tuple[PublishedShape, ...]:
    """Table 2.1 prints 24 heads of 128 for the 1.3B model, but its width, 2048, and its size need 16 of 128."""
    source = "Brown et al. 2020, arXiv 2005.14165, table 2.1"
    rows = (
        ("gpt3-125m", 12, 768, 12, 64, 125e6),
        ("gpt3-350m", 24, 1024, 16, 64, 350e6),
        ("gpt3-760m", 24, 1536, 16, 96, 760e6),
        ("gpt3-1.3b", 24, 2048, 16, 128, 1.3e9),
        ("gpt3-2.7b", 32, 2560, 32, 80, 2.7e9),
        ("gpt3-6.7b", 32, 4096, 32, 128, 6.7e9),
        ("gpt3-13b", 40, 5140, 40, 128, 13.0e9),
        ("gpt3-175b", 96, 12288, 96, 128, 175.0e9),
    )
    return tuple(
        PublishedShape(
            name, replace(_gpt(layers, width, heads, 2048, size), size_per_head=size), int(params), source, exact=False
        )
        for name, layers, width, heads, size, params in rows
    )


def _gpt(layers: int, width: int, heads: int, context: int, size: int | None = None) -> ModelShape:
    return ModelShape(
        layers,
        width,
        heads,
        vocab=50257,
        context=context,
        ffn=4 * width,
        feed_forward="gelu_tanh",
        tied=True,
        size_per_head=size,
        norm="layer",
        biases="all",
        positions="learned",
        norm_eps=1e-5,
    )


def _llama() -> tuple[PublishedShape, ...]:
    two = "Touvron et al. 2023, arXiv 2307.09288; config.json of huggingface.co/meta-llama/Llama-2-*"
    three = "Grattafiori et al. 2024, arXiv 2407.21783, table 3; config.json of huggingface.co/meta-llama/*"
    rows = (
        ("llama-2-7b", two, (32, 4096, 32, 32000, 4096, 11008, 32), False, 6_738_415_616),
        ("llama-2-13b", two, (40, 5120, 40, 32000, 4096, 13824, 40), False, 13_015_864_320),
        ("llama-2-70b", two, (80, 8192, 64, 32000, 4096, 28672, 8), False, 68_976_648_192),
        ("llama-3-8b", three, (32, 4096, 32, 128256, 8192, 14336, 8), False, 8_030_261_248),
        ("llama-3-70b", three, (80, 8192, 64, 128256, 8192, 28672, 8), False, 70_553_706_496),
        ("llama-3-405b", three, (126, 16384, 128, 128256, 8192, 53248, 8), False, 405_853_388_800),
        ("llama-3.2-1b", three, (16, 2048, 32, 128256, 131072, 8192, 8), True, 1_235_814_400),
        ("llama-3.2-3b", three, (28, 3072, 24, 128256, 131072, 8192, 8), True, 3_212_749_824),
    )
    return tuple(
        PublishedShape(
            name,
            ModelShape(*sizes, tied=tied, norm_eps=1e-5, rotary_base=1e4 if source is two else 5e5),
            params,
            source,
        )
        for name, source, sizes, tied, params in rows
    )


def _pythia() -> tuple[PublishedShape, ...]:
    source = "Biderman et al. 2023, arXiv 2304.01373, table 1; config.json of huggingface.co/EleutherAI/pythia-*"
    rows = (
        ("pythia-70m", 6, 512, 8, 50304, 70_426_624),
        ("pythia-160m", 12, 768, 12, 50304, 162_322_944),
        ("pythia-410m", 24, 1024, 16, 50304, 405_334_016),
        ("pythia-1b", 16, 2048, 8, 50304, 1_011_781_632),
        ("pythia-1.4b", 24, 2048, 16, 50304, 1_414_647_808),
        ("pythia-2.8b", 32, 2560, 32, 50304, 2_775_208_960),
        ("pythia-6.9b", 32, 4096, 32, 50432, 6_857_302_016),
        ("pythia-12b", 36, 5120, 40, 50688, 11_846_072_320),
    )
    return tuple(
        PublishedShape(
            name,
            replace(_gpt(layers, width, heads, 2048), vocab=vocab, feed_forward="gelu", tied=False, positions="rotary"),
            params,
            source,
        )
        for name, layers, width, heads, vocab, params in rows
    )


def _bert() -> tuple[PublishedShape, ...]:
    """With the heads for masked words and next sentences that the released weights hold."""
    source = "Devlin et al. 2019, arXiv 1810.04805, section 3; huggingface.co/google-bert/bert-*-uncased"
    rows = (("bert-base", 12, 768, 12, 110_106_428), ("bert-large", 24, 1024, 16, 336_226_108))
    return tuple(
        PublishedShape(
            name,
            replace(
                _gpt(layers, width, heads, context=512),
                vocab=30522,
                feed_forward="gelu",
                stack="encoder",
                norm_place="post",
                norm_eps=1e-12,
                segments=2,
                pooler=True,
                transform=True,
                dropout=0.1,
            ),
            params,
            source,
        )
        for name, layers, width, heads, params in rows
    )


def _t5() -> tuple[PublishedShape, ...]:
    source = "Raffel et al. 2020, arXiv 1910.10683, section 3.7; config.json of huggingface.co/google-t5/t5-*"
    rows = (
        ("t5-small", 6, 512, 8, 64, 2048, 60_506_624),
        ("t5-base", 12, 768, 12, 64, 3072, 222_903_552),
        ("t5-large", 24, 1024, 16, 64, 4096, 737_668_096),
        ("t5-3b", 24, 1024, 32, 128, 16384, 2_851_598_336),
        ("t5-11b", 24, 1024, 128, 128, 65536, 11_307_321_344),
    )
    return tuple(
        PublishedShape(
            name,
            ModelShape(
                layers,
                width,
                heads,
                vocab=32128,
                context=512,
                ffn=ffn,
                feed_forward="relu",
                tied=True,
                size_per_head=size,
                stack="encoder_decoder",
                positions="relative",
                dropout=0.1,
            ),
            params,
            source,
        )
        for name, layers, width, heads, size, ffn, params in rows
    )


def _qwen() -> tuple[PublishedShape, ...]:
    source = "Qwen 2024, arXiv 2412.15115, table 1; config.json of huggingface.co/Qwen/Qwen2.5-*"
    rows = (
        ("qwen2.5-0.5b", (24, 896, 14, 151936, 32768, 4864, 2), True, 494_032_768),
        ("qwen2.5-1.5b", (28, 1536, 12, 151936, 131072, 8960, 2), True, 1_543_714_304),
        ("qwen2.5-3b", (36, 2048, 16, 151936, 32768, 11008, 2), True, 3_085_938_688),
        ("qwen2.5-7b", (28, 3584, 28, 152064, 131072, 18944, 4), False, 7_615_616_512),
        ("qwen2.5-14b", (48, 5120, 40, 152064, 131072, 13824, 8), False, 14_770_033_664),
        ("qwen2.5-32b", (64, 5120, 40, 152064, 131072, 27648, 8), False, 32_763_876_352),
        ("qwen2.5-72b", (80, 8192, 64, 152064, 131072, 29568, 8), False, 72_706_203_648),
    )
    return tuple(
        PublishedShape(name, ModelShape(*sizes, tied=tied, biases="qkv", rotary_base=1e6), params, source)
        for name, sizes, tied, params in rows
    )


def _smollm() -> tuple[PublishedShape, ...]:
    source = "Ben Allal et al. 2025, arXiv 2502.02737; config.json of huggingface.co/HuggingFaceTB/SmolLM2-*"
    rows = (
        ("smollm2-135m", (30, 576, 9, 49152, 8192, 1536, 3), 1e5, 134_515_008),
        ("smollm2-360m", (32, 960, 15, 49152, 8192, 2560, 5), 1e5, 361_821_120),
        ("smollm2-1.7b", (24, 2048, 32, 49152, 8192, 8192, 32), 1.3e5, 1_711_376_384),
    )
    return tuple(
        PublishedShape(name, ModelShape(*sizes, tied=True, norm_eps=1e-5, rotary_base=base), params, source)
        for name, sizes, base, params in rows
    )


def _mixtral() -> tuple[PublishedShape, ...]:
    source = "Jiang et al. 2024, arXiv 2401.04088, table 1; config.json of huggingface.co/mistralai/Mixtral-8x7B-v0.1"
    shape = ModelShape(
        32, 4096, 32, 32000, 32768, 14336, 8, norm_eps=1e-5, rotary_base=1e6, experts=8, active_experts=2
    )
    return (PublishedShape("mixtral-8x7b", shape, 46_702_792_704, source),)
