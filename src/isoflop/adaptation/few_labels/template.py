"""A prompt's form: where the text goes, where the label's word goes, and which words stand for which label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isoflop.errors import UserError

TEXT, LABEL = "{text}", "{label}"
ESCAPES = {"\\n": "\n", "\\t": "\t"}


@dataclass(frozen=True)
class Template:
    """`form` has `{text}` once and `{label}` once; what stands around them is put into the prompt as it is."""

    form: str

    def __post_init__(self) -> None:
        for part in (TEXT, LABEL):
            if self.form.count(part) != 1:
                raise UserError(f"The template {self.form!r} must have {part} once, not {self.form.count(part)} times.")

    @property
    def before_label(self) -> str:
        """The form up to the label's word, without the space before it, which is the word's."""
        return self.form.partition(LABEL)[0].rstrip(" ")

    @property
    def space(self) -> str:
        """What stands between the form and the label's word."""
        return self.form.partition(LABEL)[0][len(self.before_label) :]

    def filled(self, text: str, word: str) -> str:
        """The whole form with a text and a word."""
        before, _, behind = self.form.partition(TEXT)
        return before.replace(LABEL, word) + text + behind.replace(LABEL, word)

    def asking(self, text: str) -> str:
        """The form up to the label's word. Raises `UserError` where the text stands behind the word."""
        before, text_part, behind = self.before_label.partition(TEXT)
        if not text_part:
            raise UserError(f"The template {self.form!r} has {LABEL} before {TEXT}, and a causal model reads forwards.")
        return before + text + behind


@dataclass(frozen=True)
class Verbalizer:
    """The words of each label, in the order of `labels`."""

    labels: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        every = [word for words in self.words for word in words]
        twice = next((word for word in every if every.count(word) > 1), None)
        if twice is not None:
            raise UserError(f"The word {twice!r} stands for a label twice: give each label words of its own.")


def template_of(form: str) -> Template:
    """A template as it is typed: `\\n` and `\\t` are a line's end and a tab; `{label}` is put last if it is missing."""
    for typed, meant in ESCAPES.items():
        form = form.replace(typed, meant)
    return Template(form if LABEL in form else f"{form.rstrip(' ')} {LABEL}")


def verbalizer_of(typed: str | None, labels: Sequence[str]) -> Verbalizer:
    """The words of `0=negative|bad,1=positive|good`; the labels' own names, with spaces for _, where nothing is typed.

    Raises `UserError` for a label that there is not or that has no word, and for names that are numbers.
    """
    if not typed:
        number = next((label for label in labels if not any(map(str.isalpha, label))), None)
        if number is not None:
            raise UserError(f"The label {number!r} is no word: say what it means with --verbalizer '{number}=word,…'.")
        return Verbalizer(tuple(labels), tuple((label.replace("_", " "),) for label in labels))
    found: dict[str, tuple[str, ...]] = {}
    for part in typed.split(","):
        label, sign, words = (piece.strip() for piece in part.partition("="))
        if not sign or label not in labels or label in found:
            known = ", ".join(labels)
            raise UserError(f"--verbalizer has {part.strip()!r}: write LABEL=WORD once for each label of {known}.")
        found[label] = tuple(word.strip() for word in words.split("|"))
        if not all(found[label]):
            raise UserError(f"--verbalizer has no word for the label {label!r}: write {label}=WORD.")
    missing = next((label for label in labels if label not in found), None)
    if missing is not None:
        raise UserError(f"--verbalizer has no word for the label {missing!r}: write {missing}=WORD.")
    return Verbalizer(tuple(labels), tuple(found[label] for label in labels))
