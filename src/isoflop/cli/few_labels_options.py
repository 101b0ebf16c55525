"""What `isoflop finetune` does for few labels: `--augment` and `--pseudo-label`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from isoflop.errors import UserError

if TYPE_CHECKING:
    from isoflop.adaptation import Split
    from isoflop.adaptation.few_labels.rewriting import Rewriter

WAYS = "edit, synonyms=FILE, near=MODEL, masked=MODEL or back=MODEL,MODEL"
AUGMENT = typer.Option([], "--augment", help=f"Add train's texts in other words: {WAYS}; can be repeated.")
PSEUDO_LABEL = typer.Option(None, "--pseudo-label", help="Texts without labels; those that it is sure of join train.")
CONFIDENCE = typer.Option(0.9, "--confidence", help="The probability that a pseudo-label needs.")


@dataclass(frozen=True)
class FewLabels:
    """What was asked for: ways of augmentation, a table without labels, and the confidence that a label needs."""

    augment: Sequence[str]
    pseudo_label: Path | None
    confidence: float

    def enlarged(self, split: Split, seed: int) -> Split:
        """The split with what `--augment` adds to train; says what that is."""
        from isoflop.adaptation.few_labels.augmentation import augment

        larger = split
        for number, typed in enumerate(self.augment):
            added = augment(split, _rewriter(typed, split), seed=seed + number)
            extra = added.split.train.take(range(len(split.train), len(added.split.train)))
            larger = _joined(larger, extra)
            print(f"Augmented: {added.note}", flush=True)
        return larger

    def check_repeats(self, folds: int) -> None:
        """Raises `UserError` for what does not go together with several fine-tunings."""
        if self.augment and folds:
            raise UserError("--folds would measure on texts that others were made of: leave out --augment or --folds.")
        if self.pseudo_label is not None:
            raise UserError("--pseudo-label goes with one seed and no folds: leave out --seeds and --folds.")

    def with_origins(self, events: Iterator[Any], split: Split, out: Path) -> Iterator[Any]:
        """The events of fine-tunings; where each text of an enlarged train is from is written when the first begins."""
        from isoflop.adaptation import Ready
        from isoflop.adaptation.few_labels.augmentation import write_origins

        for event in events:
            if self.augment and isinstance(event, Ready):
                write_origins(out / "train.csv", split.train)
            yield event

    def events(self, model: Path, split: Split, *, out: Path, **how: Any) -> Iterator[Any]:
        """The events of one fine-tuning, or of self-training."""
        from isoflop.adaptation import finetune
        from isoflop.adaptation.few_labels.pseudo_labels import Labelled, SelfTraining, read_unlabelled, self_train

        if self.pseudo_label is None:
            yield from self.with_origins(finetune(model, split, out=out, **how), split, out)
            return
        chosen = SelfTraining(confidence=self.confidence)
        unlabelled = read_unlabelled(self.pseudo_label, column=split.train.columns.text)
        for event in self_train(model, split, unlabelled, out=out, how=chosen, **how):
            if isinstance(event, Labelled):
                _say_what_was_labelled(event, self.confidence)
            else:
                yield event


def _say_what_was_labelled(event: Any, confidence: float) -> None:
    counts = ", ".join(f"{label} {count:,}" for label, count in event.counts.items())
    scores = ", ".join(f"{part} {one.main} {one.figures[one.main]:.4f}" for part, one in event.result.scores.items())
    print(f"Before pseudo-labels: {scores}", flush=True)
    left = f"; {event.leaked:,} more are in dev or test and stay out" if event.leaked else ""
    share = f"{sum(event.counts.values()):,} of {event.texts:,} texts"
    print(f"Pseudo-labels with a probability of {confidence:g} or more: {share} ({counts}){left}", flush=True)


def _joined(split: Split, extra: Any) -> Split:
    from isoflop.adaptation.few_labels.augmentation import with_added

    return with_added(split, extra)[0]


def _rewriter(typed: str, split: Split) -> Rewriter:
    from isoflop.adaptation.few_labels import model_words, rewriting
    from isoflop.adaptation.pretrained import read_pretrained

    way, _, where = typed.partition("=")
    if way == "edit" and not where:
        return rewriting.RandomEdit()
    if way == "synonyms" and where:
        return rewriting.Synonyms(rewriting.read_synonyms(Path(where)))
    if way == "near" and where:
        return rewriting.Synonyms(model_words.embedding_synonyms(read_pretrained(Path(where)), split.train.texts))
    if way == "masked" and where:
        return model_words.MaskedWords(read_pretrained(Path(where)))
    there, comma, back = where.partition(",")
    if way == "back" and comma:
        return rewriting.BackTranslation(model_words.translator(Path(there)), model_words.translator(Path(back)))
    raise UserError(f"--augment is {typed!r}: write {WAYS}.")
