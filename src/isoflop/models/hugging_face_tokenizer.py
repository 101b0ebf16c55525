"""A tokenizer beside a checkpoint, so that `AutoTokenizer.from_pretrained` finds the very same one, offline.

transformers rebuilds a tokenizer from its vocabulary alone where it knows a class of its own for the model; the generic
class named here is the one that takes tokenizer.json as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from isoflop.files import write_json, write_text
from isoflop.models.storage import TOKENIZER, read_tokenizer
from isoflop.shapes import ModelShape

ROLES = {
    "eos_token": ("<|endoftext|>", "</s>", "<|end_of_text|>"),
    "bos_token": ("<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "pad_token": ("[PAD]", "<pad>", "<|pad|>"),
    "mask_token": ("[MASK]", "<mask>"),
    "cls_token": ("[CLS]",),
    "sep_token": ("[SEP]",),
    "unk_token": ("[UNK]", "<unk>"),
}
"""What a special token is for, by the text it has; a text starts with the end of the one before, as in GPT-2."""


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens that a tokenizer has: role → text, and the numbers of those texts."""

    texts: dict[str, str]
    numbers: dict[str, int]

    @classmethod
    def of(cls, tokenizer: Tokenizer | None) -> SpecialTokens:
        """Those that `tokenizer` knows by one of their usual texts; none without one."""
        special = set()
        if tokenizer is not None:
            special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
        texts = {role: text for role, usual in ROLES.items() for text in reversed(usual) if text in special}
        known = {} if tokenizer is None else tokenizer.get_vocab(with_added_tokens=True)
        return cls(texts, {role: known[text] for role, text in texts.items()})

    def number(self, role: str) -> int | None:
        """The number of the token with `role` (eos, pad, …), None where there is none."""
        return self.numbers.get(f"{role}_token")


def write_tokenizer(folder: Path, source: Path | None, shape: ModelShape) -> SpecialTokens:
    """Write tokenizer.json and tokenizer_config.json; nothing without a `source`. Returns its special tokens."""
    if source is None:
        return SpecialTokens.of(None)
    tokenizer = read_tokenizer(source, shape)
    tokens = SpecialTokens.of(tokenizer)
    write_text(folder / TOKENIZER, tokenizer.to_str())
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": shape.context,
        "clean_up_tokenization_spaces": False,
        **tokens.texts,
    }
    write_json(folder / "tokenizer_config.json", settings)
    return tokens
