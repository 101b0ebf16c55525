"""The floor: what counting words achieves on the same texts in seconds. A result below it is no result."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.adaptation.split import TRAIN, Split, strings_in
from isoflop.adaptation.task import Floor
from isoflop.evaluation.classification import classification_scores
from isoflop.evaluation.label_sets import label_set_scores
from isoflop.evaluation.scores import TaskScores

STRENGTH = 10.0
"""Inverse strength of the regularisation (C). On sst2 1 gives 3.3 points of accuracy less, and 30 gives 0.7 more."""
ENOUGH_CJK = 0.2
MOST_TEXTS = 200_000
"""More texts are counted in part: the floor is to take seconds or minutes, whatever the table."""
MISSING = "The floor was not fitted, since scikit-learn is missing: pip install 'isoflop[adapt]'."


def fit_floor(split: Split) -> Floor | None:
    """Logistic regression on TF-IDF of words and pairs of words (of characters, one to three, in Chinese or Japanese).

    Of an example with several texts each has counts of its own. None where scikit-learn is missing.
    """
    if importlib.util.find_spec("sklearn") is None:
        return None
    model, counted = fit_counts(*_some(split.train.texts, split.answers(TRAIN)))
    scores: dict[str, TaskScores] = {
        name: classification_scores(model.predict_proba(part.texts), split.answers(name), labels=split.labels)
        for name, part in split.held_out.items()
    }
    return Floor(f"TF-IDF of {counted} + logistic regression, C = {STRENGTH:g}{_of(split)}", scores)


def fit_label_set_floor(split: Split, answers: Mapping[str, NDArray[np.int64]]) -> Floor | None:
    """The same with a regression for each label; `answers` of each part are (N, K), 0 or 1."""
    if importlib.util.find_spec("sklearn") is None:
        return None
    model, counted = fit_counts(*_some(split.train.texts, answers[TRAIN]), has_sets=True)
    scores: dict[str, TaskScores] = {
        name: label_set_scores(model.predict_proba(part.texts), answers[name], labels=split.labels)
        for name, part in split.held_out.items()
    }
    described = f"TF-IDF of {counted} + one logistic regression for each label, C = {STRENGTH:g}{_of(split)}"
    return Floor(described, scores)


def _some(texts: tuple[Any, ...], answers: Any) -> tuple[tuple[Any, ...], NDArray[Any]]:
    """Texts and answers, or so many of them at even distances, and the first of each answer."""
    answers = np.asarray(answers)
    chosen = np.linspace(0, len(texts) - 1, min(len(texts), MOST_TEXTS)).round().astype(int)
    if answers.ndim == 1:
        chosen = np.concatenate([chosen, np.unique(answers, return_index=True)[1]])
    chosen = np.unique(chosen)
    return tuple(texts[at] for at in chosen), answers[chosen]


def _of(split: Split) -> str:
    return f", of {MOST_TEXTS:,} texts of train at even distances" if len(split.train) > MOST_TEXTS else ""


def fit_counts(texts: tuple[Any, ...], answers: Any, *, has_sets: bool = False) -> tuple[Any, str]:
    """A fitted pipeline of scikit-learn, and what it counts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import FeatureUnion, make_pipeline

    by_character = _is_cjk(texts)
    words: dict[str, Any] = {"token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 2)}
    units = {"analyzer": "char", "ngram_range": (1, 3)} if by_character else words
    several = 0 if isinstance(texts[0], str) else len(texts[0])
    sides = [
        (str(side), TfidfVectorizer(sublinear_tf=True, preprocessor=_side(side), **units)) for side in range(several)
    ]
    vectors = FeatureUnion(sides) if sides else TfidfVectorizer(sublinear_tf=True, **units)
    regression = LogisticRegression(C=STRENGTH, max_iter=1000)
    model = make_pipeline(vectors, OneVsRestClassifier(regression) if has_sets else regression)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Label .* is present in all training examples")
        model.fit(texts, answers)
    counted = "1 to 3 characters" if by_character else "1 and 2 words"
    return model, f"{counted} of each of {several} texts" if several else counted


def _side(side: int) -> Callable[[tuple[str, ...]], str]:
    return lambda texts: texts[side].lower()


def _is_cjk(texts: tuple[Any, ...]) -> bool:
    """Whether the texts are written without spaces between words: looked at in the first thousand."""
    letters = [one for text in strings_in(texts[:1000]) for one in text if one.isalpha()]
    return bool(letters) and float(np.mean([is_cjk(one) for one in letters])) > ENOUGH_CJK


def is_cjk(character: str) -> bool:
    """Whether this is a character of Chinese or Japanese."""
    return "぀" <= character <= "鿿"
