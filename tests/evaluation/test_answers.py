"""Exact match and F1 of answers: SQuAD's own, characters for Chinese, and a threshold that is the best there is."""

from __future__ import annotations

import random

import pytest

from isoflop.evaluation.answers import answer_scores, best_threshold, exact, f1, normalized


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("The Norman", ["norman"]),
        ("in 1066,", ["in", "1066"]),
        ("a king's  crown", ["kings", "crown"]),
        ("U.S. Army", ["us", "army"]),
        ("An apple a day; theatre", ["apple", "day", "theatre"]),
        ("10th—11th century", ["10th—11th", "century"]),  # the script removes ASCII punctuation alone
        ("the", []),
    ],
)
def test_english_is_counted_as_squad_counts_it(answer: str, words: list[str]) -> None:
    assert normalized(answer) == words


def test_the_f1_of_two_answers_is_that_of_their_words_with_repetition() -> None:
    assert f1("the dog dog", ["dog cat"]) == pytest.approx(0.5)
    assert f1("Norman conquest", ["the Norman conquest of"]) == pytest.approx(0.8)
    assert exact("the U.S.", ["us"]) == 1
    assert f1("the", ["a"]) == 1  # nothing is left of either


def test_chinese_is_counted_by_characters_without_its_punctuation() -> None:
    assert normalized("《巴黎》，1998年。") == ["巴", "黎", "1998", "年"]
    assert exact("巴黎。", ["巴黎"]) == 1
    assert f1("北京市", ["北京"]) == pytest.approx(0.8)
    assert f1("308分", ["308"]) == pytest.approx(2 / 3)


def test_no_answer_is_right_only_where_there_is_none() -> None:
    assert (exact("", []), f1("", []), f1("x", []), f1("", ["x"])) == (1, 1, 0, 0)
    assert f1("big red dog", ["dog", "red dog"]) == pytest.approx(0.8)  # the best of the right answers
    scores = answer_scores(["a b", "", "x"], [["b c", "b"], [], []])
    assert scores.figures == pytest.approx(
        {"F1": (1 + 1 + 0) / 3, "EM": 2 / 3, "F1 answerable": 1, "F1 unanswerable": 0.5}
    )
    assert scores.values == {"F1": (1.0, 1.0, 0.0), "EM": (1.0, 1.0, 0.0)}


def test_a_forced_answer_counts_where_there_is_one() -> None:
    forced = ["a b", "wrong", "red dog", "x"]
    scores = answer_scores([""] * 4, [["b"], ["right"], ["dog"], []], forced=forced)
    assert scores.figures["F1 answerable"] == 0
    assert scores.figures["F1 forced"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert "F1 forced" not in answer_scores(["b"], [["b"]], forced=["b"]).figures  # there it is F1 itself


def test_the_threshold_is_the_best_of_all() -> None:
    draw = random.Random(1)
    for _ in range(50):
        count = draw.randint(1, 12)
        margins = [float(draw.randint(-3, 3)) for _ in range(count)]
        right = [["dog"] if draw.random() < 0.5 else [] for _ in range(count)]
        told = [draw.choice(["dog", "red dog", "cat"]) for _ in range(count)]

        def reached(threshold: float, margins=margins, told=told, right=right) -> float:  # type: ignore[no-untyped-def]
            kept = [one if margin > threshold else "" for one, margin in zip(told, margins, strict=True)]
            return answer_scores(kept, right).figures["F1"]

        best = max(reached(threshold / 2) for threshold in range(-9, 9))
        assert reached(best_threshold(margins, told, right)) == pytest.approx(best)
