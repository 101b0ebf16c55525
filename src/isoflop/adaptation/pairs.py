"""Two texts in one sequence: what stands between them, and which tokens belong to which."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from isoflop.errors import UserError

SEPARATORS = ("[SEP]", "</s>", "<|endoftext|>", "<|im_end|>", "<eos>", "<end>")


def reads_pairs(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, with a separator between two texts where it has no rule of its own for them: [CLS] A [SEP] B [SEP]
    where it has BERT's tokens, else A, its end of text, B. Raises `UserError` where it has nothing of the kind."""
    if tokenizer.num_special_tokens_to_add(is_pair=True) > 0:
        return tokenizer
    known = tokenizer.get_vocab(with_added_tokens=True)
    separator = next((name for name in SEPARATORS if name in known), None)
    if separator is None:
        raise UserError("The model's tokenizer has no token that could stand between two texts: choose another model.")
    special = [(separator, known[separator])]
    if "[CLS]" in known and separator == "[SEP]":
        special.append(("[CLS]", known["[CLS]"]))
        single, pair = "[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    else:
        single, pair = "$A", f"$A:0 {separator}:0 $B:1"
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.post_processor = TemplateProcessing(single=single, pair=pair, special_tokens=special)
    return copy
