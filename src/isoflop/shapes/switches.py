"""The words that a shape's switches can say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

FeedForward = Literal["gelu", "gelu_tanh", "relu", "relu2", "swiglu", "geglu"]
"""`gelu_tanh` is GPT-2's approximation of GELU, `geglu` T5 v1.1's gated form of it (arXiv 2002.05202)."""
Stack = Literal["decoder", "encoder", "encoder_decoder"]
Norm = Literal["rms", "layer", "plain"]
"""`plain` is RMSNorm without gains, `layer` is LayerNorm with gain and bias."""
NormPlace = Literal["pre", "post"]
"""Before a layer, on a copy of the residual stream, or after it, on the stream itself (BERT)."""
Biases = Literal["none", "qkv", "all"]
Positions = Literal["rotary", "learned", "sinusoidal", "relative", "alibi", "none"]
RotaryStretch = Literal["none", "ntk", "yarn"]
AttentionPattern = Literal["full", "window", "strided", "block"]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "feed_forward": get_args(FeedForward),
    "stack": get_args(Stack),
    "norm": get_args(Norm),
    "norm_place": get_args(NormPlace),
    "biases": get_args(Biases),
    "positions": get_args(Positions),
    "rotary_stretch": get_args(RotaryStretch),
    "attention": get_args(AttentionPattern),
}
"""The words of each field of `ModelShape` that is a switch."""
