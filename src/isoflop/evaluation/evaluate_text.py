"""Perplexity and bits per byte of a language model on text, alone or beside another model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from isoflop.errors import UserError
from isoflop.evaluation.evaluated import Evaluated, figures_of
from isoflop.evaluation.intervals import Array, Resampling, ratio
from isoflop.evaluation.language_model import LanguageModel, read_language_model
from isoflop.evaluation.measure import Measure
from isoflop.evaluation.perplexity import Measured, Reading, Tell, measure_text
from isoflop.evaluation.texts import Texts

MASKED = "masked nats per token"
OTHER_TOKENS = "The models have different tokenizers: bits per byte compare, nats per token and perplexity do not."


def evaluate_text(
    model: Path,
    texts: Texts,
    *,
    against: Path | None = None,
    reading: Reading | None = None,
    resampling: Resampling | None = None,
    tell: Tell = None,
) -> Evaluated:
    """Measure the model in the folder (or GGUF file) `model` on `texts`, and `against` on the same.

    A causal model has nats per token, perplexity and bits per byte; an encoder has the mean nats of masked tokens,
    which is no perplexity: no text's probability is a product of them. Raises `UserError` where the two can't be
    compared.
    """
    reading, resampling = reading or Reading(), resampling or Resampling()
    paths = [model] if against is None else [model, against]
    models, measured = list[LanguageModel](), list[Measured]()
    for number, path in enumerate(paths):
        one = read_language_model(path)
        _check_comparable([*models, one])
        part = (lambda share, number=number: tell((number + share) / len(paths))) if tell else None
        measured.append(measure_text(one, texts, reading=reading, tell=part))
        models.append(one)
    same = len({one.facts["tokenizer_hash"] for one in models}) == 1
    measures = [_measures(one, same_tokens=same) for one in measured]
    notes = dict.fromkeys(note for one in measured for note in one.notes)
    return Evaluated(
        kind="masked text" if measured[0].is_masked else "text",
        models=tuple(one.facts | _read_by(found) for one, found in zip(models, measured, strict=True)),
        data={"hash": texts.hash, "documents": len(texts.documents), "bytes": texts.bytes},
        how={"reading": asdict(reading), "intervals over": measured[0].units.what},
        figures=figures_of(measures, resampling),
        notes=(*_of_texts(texts), *notes, *(() if same else (OTHER_TOKENS,))),
        resampling=resampling,
    )


def perplexity(means: Array) -> Array:
    """e to the nats per token, of means of nats and of tokens."""
    return np.exp(ratio(means))


def bits_per_byte(means: Array) -> Array:
    """Of means of nats and of bytes of the text as it was read, not of what tokens give back."""
    return ratio(means) / np.log(2)


def _measures(measured: Measured, *, same_tokens: bool) -> dict[str, Measure]:
    unit = measured.units.what
    by_token = np.stack([measured.nats, measured.tokens], axis=1)
    if measured.is_masked:
        return {MASKED: Measure(by_token, ratio, unit)}
    by_byte = np.stack([measured.nats, measured.units.bytes], axis=1)
    return {
        "bits per byte": Measure(by_byte, bits_per_byte, unit),
        "nats per token": Measure(by_token, ratio, unit, comparable=same_tokens),
        "perplexity": Measure(by_token, perplexity, unit, comparable=same_tokens),
    }


def _check_comparable(models: Sequence[LanguageModel]) -> None:
    if len({one.marks is None for one in models}) > 1:
        raise UserError("An encoder's masked nats and a causal model's nats are of different things: no comparison.")
    if models[0].marks is not None and len({one.facts["tokenizer_hash"] for one in models}) > 1:
        raise UserError("The two encoders have different tokenizers, and masked nats are per token: no comparison.")


def _read_by(measured: Measured) -> dict[str, int]:
    found = {"tokens": int(measured.tokens.sum()), "window": measured.window}
    return found if measured.is_masked else found | {"stride": measured.stride}


def _of_texts(texts: Texts) -> list[str]:
    notes = []
    if texts.replaced:
        notes.append(f"{texts.replaced:,} bytes were no UTF-8: each counts as U+FFFD, three bytes long.")
    if texts.cut:
        notes.append(f"The text was cut behind {texts.bytes:,} bytes, as --max-bytes asks.")
    return notes
