"""How far the logits of a checkpoint differ between transformers and isoflop, and whether it comes back byte for byte.

    python benchmarks/checkpoint_equality.py CHECKPOINT [--tokens 64]

CHECKPOINT is the folder of a Hugging Face checkpoint with safetensors. Both read the same random tokens, with padding,
in float32. A checkpoint without a head is compared by its last states.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

from isoflop.errors import UserError
from isoflop.models import Batch, from_hugging_face, to_hugging_face

SHARES = (1.0, 0.6, 0.15)
"""Of the places of each sequence that hold a token."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tokens", type=int, default=64, help="Length of the longest of three sequences.")
    arguments = parser.parse_args()
    folder = arguments.checkpoint
    ours, info = from_hugging_face(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    theirs = getattr(transformers, config.architectures[0]).from_pretrained(folder, dtype=torch.float32)
    shape = info.shape
    length = min(arguments.tokens, shape.context)
    tokens = torch.randint(shape.vocab, (len(SHARES), length), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(length) < length * torch.tensor(SHARES)[:, None]).long()
    reads = shape.stack == "encoder_decoder"
    batch = Batch(tokens, tokens, mask, source=tokens if reads else None, source_documents=mask if reads else None)
    extra = {"decoder_input_ids": tokens, "decoder_attention_mask": mask} if reads else {}
    with torch.no_grad():
        answer = theirs.eval()(input_ids=tokens, attention_mask=mask, **extra)
        bare = "last_hidden_state" in answer
        other = answer.get("logits", answer.get("prediction_logits", answer.get("last_hidden_state")))
        mine = ours.eval().features(batch) if bare else ours(batch)
    there = mask > 0
    print(f"{type(theirs).__name__}, {sum(weight.numel() for weight in ours.parameters()):,} parameters here")
    print(f"largest difference {(mine - other)[there].abs().max():.2e}, of values up to {other[there].abs().max():.3g}")
    print(f"written again: {_there_and_back(ours, folder)}")


def _there_and_back(ours: torch.nn.Module, folder: Path) -> str:
    with tempfile.TemporaryDirectory() as out:
        try:
            to_hugging_face(ours, Path(out))
        except UserError as error:
            return str(error)
        again = load_file(Path(out) / "model.safetensors")
    before = {name: weight for file in folder.glob("*.safetensors") for name, weight in load_file(file).items()}
    same = sum(name in again and weight.float().equal(again[name]) for name, weight in before.items())
    return f"{same} of {len(before)} weights the same to the bit"


if __name__ == "__main__":
    main()
