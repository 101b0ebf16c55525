"""BLEU, chrF and ROUGE are those of the usual libraries, and Chinese is not worth nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest

from isoflop.evaluation.text_metrics import (
    bleu,
    bleu_counts,
    bleu_of_means,
    chrf,
    chrf_counts,
    chrf_of_means,
    exact_match,
    is_chinese,
    rouge,
)

WANTED = ["A man in a blue shirt stands on a ladder.", "Two dogs play in the snow.", "Nobody is there."]
FOUND = ["A man in blue is standing on a ladder.", "Two dogs play in the snow.", "Somebody was here, once."]
CHINESE = (["一个男人站在梯子上。", "两只狗在雪地里玩。"], ["一个穿蓝衣服的男人站在梯子上。", "两只狗在玩雪。"])


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    assert bleu(FOUND, WANTED) == sacrebleu.corpus_bleu(FOUND, [WANTED]).score
    assert chrf(FOUND, WANTED) == sacrebleu.corpus_chrf(FOUND, [WANTED]).score
    assert bleu(WANTED, WANTED) == pytest.approx(100)
    chinese = sacrebleu.corpus_bleu(CHINESE[0], [CHINESE[1]], tokenize="zh").score
    assert bleu(*CHINESE) == chinese > 20
    assert sacrebleu.corpus_bleu(CHINESE[0], [CHINESE[1]]).score < 1


def test_bleu__and_chrf_of_mean_counts_are_those_of_the_whole() -> None:
    """Also where no words in a row match, no text is so long, there are several references, and where one is empty."""
    pytest.importorskip("sacrebleu")
    poor, short = ["the old man went home", "red dogs play"], ["a b", "c", "d e f"]
    several = [("Two dogs are in snow.", "Two dogs play in the deep snow."), ("Nobody.",), ("A ladder!", "He stands.")]
    for found, wanted in (
        (FOUND, WANTED),
        CHINESE,
        (poor, ["the young man stays home", "red cats never play"]),
        (short, short),
        (["x y z w"], ["a b c d"]),
        (FOUND, several),
        (["", *FOUND[1:]], WANTED),
        (["", ""], WANTED[:2]),
    ):
        counts = bleu_counts(found, wanted)
        assert counts.shape == (len(found), 11)
        assert float(bleu_of_means(counts.mean(axis=0))) == pytest.approx(bleu(found, wanted))
        counts = chrf_counts(found, wanted)
        assert counts.shape == (len(found), 18)
        assert float(chrf_of_means(counts.mean(axis=0))) == pytest.approx(chrf(found, wanted))
    assert 0 < bleu(poor, ["the young man stays home", "red cats never play"]) < 20


def test_a_resampled_bleu_is_that_of_the_resampled_texts() -> None:
    pytest.importorskip("sacrebleu")
    rows = [0, 0, 2, 1, 0]
    for counts_of, of_means, metric in ((bleu_counts, bleu_of_means, bleu), (chrf_counts, chrf_of_means, chrf)):
        drawn = counts_of(FOUND, WANTED)[rows].mean(axis=0)
        expected = metric([FOUND[at] for at in rows], [WANTED[at] for at in rows])
        assert float(of_means(drawn)) == pytest.approx(expected)
        several = np.stack((drawn, counts_of(FOUND, WANTED).mean(axis=0)))
        assert of_means(several).tolist() == pytest.approx([expected, metric(FOUND, WANTED)])


def test_rouge_is_that_of_the_usual_library() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2", "rougeL"])
    draw = random.Random(0)
    words = ["the", "a", "man", "Woman", "dogs", "plays,", "on", "42", "it's", "blue.", "red", "-"]
    pairs = [[" ".join(draw.choices(words, k=draw.randint(0, 12))) for _ in range(2)] for _ in range(40)]
    found, wanted = [one for one, _ in pairs], [other for _, other in pairs]
    ours = rouge(found, wanted)
    theirs = [scorer.score(other, one) for one, other in pairs]
    for name, key in (("ROUGE-1", "rouge1"), ("ROUGE-2", "rouge2"), ("ROUGE-L", "rougeL")):
        expected = np.array([one[key].fmeasure for one in theirs])
        assert expected.std() > 0.03
        assert np.abs(ours[name] - expected).max() < 1e-12


def test_rouge_of_chinese_counts_characters() -> None:
    """By hand: of 8 and 6 characters 6 match alone, of 7 and 5 pairs 3, and in order 两只狗在 and one more."""
    ours = rouge(["两只狗在雪地里玩。"], ["两只狗在玩雪。"])
    assert ours["ROUGE-1"][0] == pytest.approx(2 * 6 / (8 + 6))
    assert ours["ROUGE-2"][0] == pytest.approx(2 * 3 / (7 + 5))
    assert ours["ROUGE-L"][0] == pytest.approx(2 * 5 / (8 + 6))


def test_exact_match_and_chinese() -> None:
    assert exact_match(["a  b ", "a b", "A b"], [" a b", "ab", "a b"]).tolist() == [1, 0, 0]
    assert is_chinese(CHINESE[0])
    assert not is_chinese(WANTED)
    assert not is_chinese(["He said 你好 to me."])
