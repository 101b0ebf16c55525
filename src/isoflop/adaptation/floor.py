"""The floor: what counting words achieves on the same texts in seconds. A result below it is no result."""

from __future__ import annotations

import importlib.util

import numpy as np

from isoflop.adaptation.split import TRAIN, Split
from isoflop.adaptation.task import Floor
from isoflop.evaluation.classification import classification_scores

STRENGTH = 10.0
"""Inverse strength of the regularisation (C). On sst2 1 gives 3.3 points of accuracy less, and 30 gives 0.7 more."""
ENOUGH_CJK = 0.2
MISSING = "The floor was not fitted, since scikit-learn is missing: pip install 'isoflop[adapt]'."


def fit_floor(split: Split) -> Floor | None:
    """Logistic regression on TF-IDF of words and pairs of words (of characters, one to three, in Chinese or Japanese).

    None where scikit-learn is missing.
    """
    if importlib.util.find_spec("sklearn") is None:
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    by_character = _is_cjk(split.train.texts)
    words = {"token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 2)}
    units = {"analyzer": "char", "ngram_range": (1, 3)} if by_character else words
    vectors = TfidfVectorizer(sublinear_tf=True, **units)
    model = LogisticRegression(C=STRENGTH, max_iter=1000)
    model.fit(vectors.fit_transform(split.train.texts), split.answers(TRAIN))
    scores = {
        name: classification_scores(
            model.predict_proba(vectors.transform(part.texts)), split.answers(name), labels=split.labels
        )
        for name, part in split.held_out.items()
    }
    counted = "1 to 3 characters" if by_character else "1 and 2 words"
    return Floor(f"TF-IDF of {counted} + logistic regression, C = {STRENGTH:g}", scores)


def _is_cjk(texts: tuple[str, ...]) -> bool:
    """Whether the texts are written without spaces between words: looked at in the first thousand."""
    letters = [character for text in texts[:1000] for character in text if character.isalpha()]
    return bool(letters) and float(np.mean(["぀" <= one <= "鿿" for one in letters])) > ENOUGH_CJK
