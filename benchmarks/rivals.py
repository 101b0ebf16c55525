"""Models to compare ours with, at equal sizes: GPT-2 as in nanoGPT, GPT-2 and Llama of transformers, Llama of litgpt.

Each is given as a function from a `Setting` to a module whose `forward(batch)` gives logits (B, T, V); those whose
package is not installed are left out, and `missing()` says which.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models import Batch


@dataclass(frozen=True)
class Setting:
    """The shape and the batch that all models train on."""

    layers: int
    width: int
    heads: int
    context: int
    vocab: int
    batch: int

    def __str__(self) -> str:
        return f"{self.layers}×{self.width}, {self.heads} heads, T {self.context}, V {self.vocab:,}, batch {self.batch}"


class Gpt2Block(nn.Module):
    """LayerNorm, attention, LayerNorm, feed-forward, each added to the residual stream."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        width = setting.width
        self.heads = setting.heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        attended, feeding = self.norms
        q_BHTS, k_BHTS, v_BHTS = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(attended(x_BTD)).chunk(3, dim=-1)
        )
        y_BHTS = F.scaled_dot_product_attention(q_BHTS, k_BHTS, v_BHTS, is_causal=True)
        x_BTD = x_BTD + self.out(y_BHTS.transpose(1, 2).flatten(2))
        return x_BTD + self.down(F.gelu(self.up(feeding(x_BTD))))


class Gpt2(nn.Module):
    """Learned positions, LayerNorm with gains, GELU of four widths, a tied head, no biases (Radford et al. 2019)."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.embedding = nn.Embedding(setting.vocab, setting.width)
        self.positions = nn.Embedding(setting.context, setting.width)
        self.blocks = nn.Sequential(*(Gpt2Block(setting) for _ in range(setting.layers)))
        self.norm = nn.LayerNorm(setting.width, bias=False)
        self.head = nn.Linear(setting.width, setting.vocab, bias=False)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=0.02)
        for block in self.blocks:
            for last in (block.out, block.down):
                nn.init.normal_(last.weight, std=0.02 / (2 * setting.layers) ** 0.5)
        self.head.weight = self.embedding.weight

    def forward(self, batch: Batch) -> Tensor:
        tokens_BT = batch.inputs
        places_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        return self.head(self.norm(self.blocks(self.embedding(tokens_BT) + self.positions(places_T))))


class Foreign(nn.Module):
    """A model of another package, which takes tokens and gives logits or something that holds them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        found = self.model(batch.inputs)
        return found if isinstance(found, Tensor) else found.logits


def transformers_gpt2(setting: Setting) -> nn.Module:
    """`GPT2LMHeadModel` without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=setting.vocab,
        n_positions=setting.context,
        n_embd=setting.width,
        n_layer=setting.layers,
        n_head=setting.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
    )
    return Foreign(GPT2LMHeadModel(config))


def transformers_llama(setting: Setting) -> nn.Module:
    """`LlamaForCausalLM` with a feed-forward of 8/3 widths."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=setting.vocab,
        max_position_embeddings=setting.context,
        hidden_size=setting.width,
        intermediate_size=round(8 * setting.width / 3),
        num_hidden_layers=setting.layers,
        num_attention_heads=setting.heads,
        use_cache=False,
    )
    return Foreign(LlamaForCausalLM(config))


def litgpt_llama(setting: Setting) -> nn.Module:
    """litgpt's `GPT` in Llama's configuration."""
    from litgpt.config import Config
    from litgpt.model import GPT

    config = Config(
        block_size=setting.context,
        padded_vocab_size=setting.vocab,
        vocab_size=setting.vocab,
        n_layer=setting.layers,
        n_head=setting.heads,
        n_embd=setting.width,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
        intermediate_size=round(8 * setting.width / 3),
    )
    return Foreign(GPT(config))


PACKAGES: dict[str, tuple[str, Callable[[Setting], nn.Module]]] = {
    "nanoGPT's layout": ("torch", Gpt2),
    "transformers GPT-2": ("transformers", transformers_gpt2),
    "transformers Llama": ("transformers", transformers_llama),
    "litgpt Llama": ("litgpt", litgpt_llama),
}


def rivals() -> dict[str, Callable[[Setting], nn.Module]]:
    """Those whose package is installed."""
    return {name: make for name, (package, make) in PACKAGES.items() if importlib.util.find_spec(package)}


def missing() -> list[str]:
    """Packages of rivals that are not installed."""
    return sorted({package for package, _ in PACKAGES.values() if not importlib.util.find_spec(package)})


def matrix_parameters(model: nn.Module, setting: Setting) -> int:
    """Parameters of matrices that multiply, the head included, tables of tokens and places not."""
    total = sum(p.numel() for name, p in model.named_parameters() if p.dim() > 1 and "position" not in name)
    total -= sum(p.numel() for name, p in model.named_parameters() if name.endswith("wpe.weight"))
    tables = setting.vocab * setting.width
    names = [name for name, p in model.named_parameters() if p.numel() == tables and p.dim() > 1]
    return total - tables * (len(names) - 1)
