"""Classifying by prompt: nothing is trained, the label whose words continue the prompt best is taken.

N texts, K labels.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isoflop.adaptation.few_labels.calibration import (
    CONTENT_FREE,
    Probabilities,
    calibrated,
    label_probabilities,
    prior,
)
from isoflop.adaptation.few_labels.causal import CausalModel
from isoflop.adaptation.few_labels.prompts import draw_shots, make_prompts, shots_text
from isoflop.adaptation.few_labels.template import Template, Verbalizer
from isoflop.adaptation.floor import MISSING, fit_floor
from isoflop.adaptation.prediction import guesses
from isoflop.adaptation.split import Split
from isoflop.adaptation.task import Floor
from isoflop.errors import UserError
from isoflop.evaluation.classification import Scores, classification_scores
from isoflop.files import write_json, write_text

Calibration = Literal["none", "context", "batch"]
CALIBRATIONS: tuple[Calibration, ...] = ("none", "context", "batch")


@dataclass(frozen=True)
class Prompt:
    """How texts are asked about.

    `shots` labelled texts of train stand in front, balanced, drawn by `seed`. `normalized` divides a word's ln P by its
    number of tokens. `calibration` says which probabilities are the predictions; all three are measured.
    """

    template: Template
    verbalizer: Verbalizer
    shots: int = 0
    calibration: Calibration = "none"
    normalized: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shots < 0:
            raise UserError(f"--shots must be at least 0, not {self.shots}.")
        if self.calibration not in CALIBRATIONS:
            raise UserError(f"--calibrate is {self.calibration!r}: choose {', '.join(CALIBRATIONS)}.")


@dataclass(frozen=True)
class Prompted:
    """Scores by part and calibration, the floor on the same parts, the rows of train that were shots, and notes.

    `priors` are what the prompt prefers, by part and calibration, in the order of the labels.
    """

    scores: dict[str, dict[Calibration, Scores]]
    priors: dict[str, dict[Calibration, tuple[float, ...]]]
    floor: Floor | None
    shots: tuple[int, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All but the texts' own values, as plain values."""
        floor = None
        if self.floor is not None:
            by_part = {part: scores.to_dict() for part, scores in self.floor.scores.items()}
            floor = {"description": self.floor.description, "scores": by_part}
        scores = {part: {name: one.to_dict() for name, one in each.items()} for part, each in self.scores.items()}
        return {"scores": scores, "priors": self.priors, "floor": floor, "shots": self.shots, "notes": self.notes}


@dataclass(frozen=True)
class Answered:
    """Probabilities of the labels for some texts, by calibration; the priors taken out; how many texts were cut."""

    probabilities: dict[Calibration, Probabilities]
    priors: dict[Calibration, Probabilities]
    cut: int


class Prompter:
    """A causal model that answers the prompts of `how`, whose shots are from the train part of `split`."""

    def __init__(self, model: CausalModel, split: Split, how: Prompt) -> None:
        self.model, self.how = model, how
        self.shots = draw_shots(split, how.shots, seed=how.seed)
        self.front = shots_text(split, self.shots, how.template, how.verbalizer)

    def answer(self, texts: tuple[str, ...], tell: Callable[[float], None] | None = None) -> Answered:
        """The labels' probabilities for each text. The batch's prior is of these texts, so give them all at once."""
        p_NK, cut = self._ask((*CONTENT_FREE, *texts), tell)
        nothing_CK, p_NK = p_NK[: len(CONTENT_FREE)], p_NK[len(CONTENT_FREE) :]
        priors: dict[Calibration, Probabilities] = {"context": prior(nothing_CK), "batch": prior(p_NK)}
        found: dict[Calibration, Probabilities] = {"none": p_NK}
        found |= {name: calibrated(p_NK, prior_K) for name, prior_K in priors.items()}
        return Answered(found, priors, cut)

    def _ask(self, texts: tuple[str, ...], tell: Callable[[float], None] | None) -> tuple[Probabilities, int]:
        how = self.how
        prompts = make_prompts(self.model, texts, shots=self.front, template=how.template, verbalizer=how.verbalizer)
        flat = [one for row in prompts.continuations for one in row]
        scores = np.array(self.model.log_probabilities(flat, tell)).reshape(len(texts), -1)
        lengths = np.array([len(one.behind) for one in flat]).reshape(len(texts), -1)
        sizes = [len(words) for words in how.verbalizer.words]
        return label_probabilities(scores, sizes, lengths if how.normalized else None), prompts.cut


def prompt(
    model: CausalModel, split: Split, how: Prompt, *, out: Path, tell: Callable[[float], None] | None = None
) -> Prompted:
    """Measure what `model` says of the held-out parts of `split`; `tell` hears the share of a part that is done.

    Writes `predictions-PART.csv`, `metrics.json` and `prompt.json` to the folder `out`. Raises `UserError` where `out`
    holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / "prompt.json").exists():
        raise UserError(f"{out} holds something that is no prompt's: choose another --out.")
    prompter = Prompter(model, split, how)
    scores: dict[str, dict[Calibration, Scores]] = {}
    priors: dict[str, dict[Calibration, tuple[float, ...]]] = {}
    notes = [*model.notes, *split.warnings]
    for name, part in split.held_out.items():
        answered = prompter.answer(part.texts, tell)
        scores[name] = {
            calibration: classification_scores(found, split.answers(name), labels=split.labels)
            for calibration, found in answered.probabilities.items()
        }
        priors[name] = {key: tuple(map(float, prior_K)) for key, prior_K in answered.priors.items()}
        _write_predictions(out, name, split, answered.probabilities[how.calibration])
        if answered.cut:
            notes.append(f"{answered.cut} of the {len(part):,} texts of {name} were cut to fit the model's context.")
    floor = fit_floor(split)
    result = Prompted(scores, priors, floor, prompter.shots, (*notes, *(() if floor else (MISSING,))))
    write_json(out / "metrics.json", result.to_dict())
    write_json(out / "prompt.json", {**asdict(how), "data_hash": split.hash})
    return result


def _write_predictions(out: Path, name: str, split: Split, p_NK: Probabilities) -> None:
    part, table = split.parts[name], io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("place", "label", "predicted", "probability"))
    for place, label, guess in zip(part.places, part.labels, guesses(p_NK, split.labels), strict=True):
        writer.writerow((place, label, guess.label, f"{guess.probability:.6f}"))
    write_text(out / f"predictions-{name}.csv", table.getvalue())
