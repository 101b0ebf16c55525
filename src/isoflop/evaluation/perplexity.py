"""How probable a language model finds text: nats per token, perplexity, bits per byte; for an encoder masked nats.

A text's tokens are predicted from what stands before them, the first one from the model's start token. A text longer
than the window is read in windows that end a stride apart; each token counts once, in the first window that has it, so
at least `window - stride` tokens stand before it; the last window ends with the text and is full. (With a stride as
long as the window this is the harness' `loglikelihood_rolling`.) B sequences, T tokens, U units of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from isoflop.errors import UserError
from isoflop.evaluation.language_model import LanguageModel, StockModel
from isoflop.evaluation.lengths import alike
from isoflop.evaluation.loss import token_losses
from isoflop.evaluation.texts import Texts, Units, units_of
from isoflop.models import IGNORED, PADDING, Batch

WINDOW = 2_048
"""The longest window where none is asked for."""
TOKENS_AT_ONCE = 8_192
LOGITS_AT_ONCE = 1 << 27
"""512 MiB of logits, where a model can't give them a few rows at a time."""
MASKED_SHARE = 0.15

Tell = Callable[[float], None] | None


@dataclass(frozen=True)
class Reading:
    """How a model reads a long text: `window` tokens at once, a new window every `stride`; the seed of the masks."""

    window: int | None = None
    stride: int | None = None
    mask_seed: int = 0

    def resolved(self, context: int) -> tuple[int, int]:
        """Window and stride for a model of that context. Raises `UserError` for a window that is too long."""
        window = min(context, WINDOW) if self.window is None else self.window
        if not 2 <= window <= context:
            raise UserError(f"--window must be from 2 to the model's context, {context:,}, not {window:,}.")
        stride = max(1, window // 2) if self.stride is None else self.stride
        if not 1 <= stride <= window:
            raise UserError(f"--stride must be from 1 to the window, {window:,}, not {stride:,}.")
        return window, stride


@dataclass(frozen=True)
class Measured:
    """Sums over each unit of the text (U,): nats of its tokens, how many tokens were predicted, its bytes."""

    nats: NDArray[np.float64]
    tokens: NDArray[np.int64]
    units: Units
    window: int
    stride: int
    is_masked: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Window:
    """Inputs and targets (T,) of a stretch of a document, and the units (T,) of the targets."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    units: NDArray[np.int64]


def measure_text(model: LanguageModel, texts: Texts, *, reading: Reading | None = None, tell: Tell = None) -> Measured:
    """Nats of every token of `texts`. `tell` is told the share that is done.

    Where a model has no start token the first token of a text counts as one drawn evenly from the vocabulary.
    """
    reading = reading or Reading()
    window, stride = reading.resolved(model.context)
    units = units_of(texts)
    nats, tokens = np.zeros(len(units)), np.zeros(len(units), dtype=np.int64)
    windows, notes = list[_Window](), list(model.notes)
    for number, ids, unit_of in _tokenised(model, texts, units, notes):
        if model.marks is not None:
            windows += _masked_windows(model, ids, unit_of, window, np.random.default_rng([reading.mask_seed, number]))
            continue
        if model.start is not None:
            ids, unit_of = np.append(model.start, ids), np.append(0, unit_of)
        elif len(ids):
            nats[unit_of[0]] += np.log(model.vocab)
            tokens[unit_of[0]] += 1
        windows += _causal_windows(ids, unit_of, window, stride)
    if model.start is None and model.marks is None:
        notes.append(
            "The model has no start token: a text's first token counts as one drawn evenly from its vocabulary."
        )
    for group, losses in _losses(model, windows, tell):
        counted = group.targets != IGNORED
        np.add.at(nats, group.units[counted], losses)
        np.add.at(tokens, group.units[counted], 1)
    return Measured(nats, tokens, units, window, stride, model.marks is not None, tuple(notes))


def _tokenised(
    model: LanguageModel, texts: Texts, units: Units, notes: list[str]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Of each document its number, its tokens, and their units; notes where tokens don't give the text back."""
    lost = 0
    for number, document in enumerate(texts.documents):
        encoding = model.tokenizer.encode(document.text, add_special_tokens=False)
        back = model.tokenizer.decode(encoding.ids, skip_special_tokens=False)
        lost += back.strip() != document.text.strip()
        starts = np.array([begin for begin, _ in encoding.offsets], dtype=np.int64)
        yield number, np.array(encoding.ids, dtype=np.int64), units.of(number, starts)
    if lost:
        notes.append(
            f"In {lost:,} of {len(texts.documents):,} texts tokens do not give the text back (case, accents, unknown "
            "characters): what is lost costs nothing, which flatters bits per byte."
        )


def _causal_windows(ids: NDArray[np.int64], units: NDArray[np.int64], window: int, stride: int) -> Iterator[_Window]:
    """Each token but the first is a target once; `units` are those of `ids`."""
    inputs, targets, of = ids[:-1], ids[1:], units[1:]
    done = 0
    while done < len(inputs):
        end = min(len(inputs), window if done == 0 else done + stride)
        begin = max(0, end - window)
        wanted = targets[begin:end].copy()
        wanted[: done - begin] = IGNORED
        yield _Window(inputs[begin:end], wanted, of[begin:end])
        done = end


def _masked_windows(
    model: LanguageModel, ids: NDArray[np.int64], units: NDArray[np.int64], window: int, draw: np.random.Generator
) -> Iterator[_Window]:
    """Stretches side by side between the model's marks; of each the same share of tokens is hidden, all by the mask."""
    assert model.marks is not None
    before, after = np.array(model.marks.before, dtype=np.int64), np.array(model.marks.after, dtype=np.int64)
    room = window - len(before) - len(after)
    if room < 1:
        raise UserError(f"--window {window} leaves no room for text between the model's marks.")
    for begin in range(0, len(ids), room):
        part, of = ids[begin : begin + room], units[begin : begin + room]
        hidden = draw.permutation(len(part))[: max(1, round(MASKED_SHARE * len(part)))]
        inputs, targets = part.copy(), np.full(len(part), IGNORED)
        inputs[hidden], targets[hidden] = model.marks.mask, part[hidden]
        pad = [np.full(len(one), IGNORED) for one in (before, after)]
        yield _Window(
            np.concatenate((before, inputs, after)),
            np.concatenate((pad[0], targets, pad[1])),
            np.concatenate((0 * before, of, 0 * after)),
        )


def _losses(
    model: LanguageModel, windows: Sequence[_Window], tell: Tell
) -> Iterator[tuple[_Window, NDArray[np.float64]]]:
    """The nats of each window's targets."""
    done, total = 0, sum(len(one.inputs) for one in windows)
    most = LOGITS_AT_ONCE // model.vocab if isinstance(model.module, StockModel) else TOKENS_AT_ONCE
    for chosen in alike([len(one.inputs) for one in windows], most):
        group = [windows[at] for at in chosen]
        losses, place = token_losses(model.module, _batch(group, is_causal=model.marks is None)).double().numpy(), 0
        for one in group:
            count = int((one.targets != IGNORED).sum())
            yield one, losses[place : place + count]
            place += count
        done += sum(len(one.inputs) for one in group)
        if tell:
            tell(done / total)


def _batch(group: Sequence[_Window], *, is_causal: bool) -> Batch:
    """Windows side by side, filled up at their ends, which no token of a causal model sees."""
    shape = len(group), len(group[-1].inputs)
    inputs, targets = torch.zeros(shape, dtype=torch.int64), torch.full(shape, IGNORED)
    documents = torch.full(shape, PADDING)
    for row, one in enumerate(group):
        length = len(one.inputs)
        inputs[row, :length] = torch.from_numpy(one.inputs)
        targets[row, :length] = torch.from_numpy(one.targets)
        documents[row, :length] = PADDING + 1
    return Batch(inputs, targets, None if is_causal or bool(documents.all()) else documents)
