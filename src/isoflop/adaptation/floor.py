"""The floor: what counting words achieves on the same texts in seconds. A result below it is no result."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np

from isoflop.adaptation.split import TRAIN, Split
from isoflop.evaluation.classification import Scores, classification_scores

STRENGTHS = (1.0, 3.0, 10.0, 30.0)
"""Inverse strengths of the regularisation, of which dev chooses."""
WITHOUT_DEV = 10.0
ENOUGH_CJK = 0.2
MISSING = "The floor was not fitted, since scikit-learn is missing: pip install 'isoflop[adapt]'."


@dataclass(frozen=True)
class Floor:
    """What was fitted, and how it scores on each part that is measured."""

    description: str
    scores: dict[str, Scores]


def fit_floor(split: Split) -> Floor | None:
    """Logistic regression on TF-IDF of words and pairs of words (of characters, one to three, in Chinese or Japanese).

    None where scikit-learn is missing.
    """
    if importlib.util.find_spec("sklearn") is None:
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    by_character = _is_cjk(split.train.texts)
    units = {"analyzer": "char", "ngram_range": (1, 3)} if by_character else {"ngram_range": (1, 2)}
    vectors = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b", **units)
    x_train, y_train = vectors.fit_transform(split.train.texts), split.answers(TRAIN)
    x = {name: vectors.transform(part.texts) for name, part in split.held_out.items()}

    def fitted(strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=1000).fit(x_train, y_train)

    if "dev" in x:
        candidates = {strength: fitted(strength) for strength in STRENGTHS}
        best = max(STRENGTHS, key=lambda one: candidates[one].score(x["dev"], split.answers("dev")))
        model, how = candidates[best], "of four the best on dev"
    else:
        best, model, how = WITHOUT_DEV, fitted(WITHOUT_DEV), "not tuned"
    scores = {
        name: classification_scores(model.predict_proba(x[name]), split.answers(name), labels=split.labels)
        for name in x
    }
    counted = "1 to 3 characters" if by_character else "1 and 2 words"
    return Floor(f"TF-IDF of {counted} + logistic regression, C = {best:g} ({how})", scores)


def _is_cjk(texts: tuple[str, ...]) -> bool:
    """Whether the texts are written without spaces between words: looked at in the first thousand."""
    letters = [character for text in texts[:1000] for character in text if character.isalpha()]
    return bool(letters) and float(np.mean(["぀" <= one <= "鿿" for one in letters])) > ENOUGH_CJK
