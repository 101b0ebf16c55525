"""What of a model is trained: all of it, its head alone, pairs of thin matrices, or what stands before its tokens."""

from isoflop.adaptation.methods.choosing import METHODS, method_named
from isoflop.adaptation.methods.low_rank import Lora
from isoflop.adaptation.methods.method import Method
from isoflop.adaptation.methods.prefixes import PrefixTuning
from isoflop.adaptation.methods.prompts import PromptTuning
from isoflop.adaptation.methods.whole import Full, HeadOnly

__all__ = [
    "METHODS",
    "Full",
    "HeadOnly",
    "Lora",
    "Method",
    "PrefixTuning",
    "PromptTuning",
    "method_named",
]
