"""What prompts and prefixes can't be put before."""

from __future__ import annotations

from isoflop.errors import UserError
from isoflop.models import EncoderDecoder, Model


def check_length(length: int) -> None:
    """Raise `UserError` for a prompt of no vectors."""
    if length < 1:
        raise UserError(f"--prompt-length must be at least 1, not {length}.")


def refuse_encoder_decoder(body: Model, what: str) -> None:
    """Raise `UserError` for a body of two stacks."""
    if isinstance(body, EncoderDecoder):
        raise UserError(f"{what} stands before an encoder or a decoder, not both: choose full or lora.")
