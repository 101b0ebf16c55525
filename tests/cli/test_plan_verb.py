"""`isoflop plan`: a mistake is one sentence, nothing asked is ignored, and the page fits a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]
LAW = "chinchilla:besiroglu2024"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([LAW, "--flops", "1e20", "--usd-per-hour", "0"], ["usd_per_hour is 0", "positive"]),
        ([LAW, "--flops", "1e20", "--context", "0"], ["context is 0", "positive"]),
        ([LAW, "--flops", "1e20", "--vocab", "0"], ["vocab is 0", "positive"]),
        ([LAW, "--flops", "1e20", "--serve-tokens", "-1"], ["serve_tokens is -1"]),
        ([LAW, "--flops", "1e20", "--set", "bits=8"], [LAW, "no bits", "leave out"]),
        ([LAW, "--flops", "1e20", "--ladder-flops", "-1"], ["allowance of -1 FLOPs", "1e+09"]),
        ([LAW, "--flops", "1e20", "--ladder-flops", "1"], ["allowance of 1 FLOPs", "1e+09"]),
        ([LAW, "--flops", "1e20", "--out", "."], ["folder", "name a file"]),
        ([LAW, "--gpus", "64xh100"], ["64xh100", "days", "usd"]),
        (["none.json", "--flops", "1e20"], ["none.json", "No such file", "isoflop fit"]),
        (["none.csv", "--flops", "1e20"], ["none.csv", "No such file", "isoflop fit"]),
        (["runs.csv", "--flops", "1e20"], ["runs.csv", "no fit", "isoflop fit RUNS --out"]),
        (["fit", "--flops", "1e20"], ["fit", "no fit", "isoflop fit RUNS --out"]),
        (["folder", "--flops", "1e20"], ["folder is a folder", "folder/fit.json"]),
        ([LAW, "--flops", "1e20", "--task", "folder"], ["folder is a folder", "folder/fit.json"]),
    ],
)
def test_a_mistake_is_one_sentence(command: Command, arguments: list[str], words: list[str]) -> None:
    Path("runs.csv").write_text("params,tokens,loss\n1e6,1e8,3\n")
    Path("fit").write_text("{}")
    Path("folder").mkdir()
    code, _, errors = command("plan", *arguments)
    assert code == 2, errors
    assert len(errors.splitlines()) == 1
    assert "[Errno" not in errors
    for word in words:
        assert word in errors


def test_a_plan_fits_eighty_columns_and_its_numbers_have_units(command: Command) -> None:
    code, text, _ = command("plan", LAW, "--flops", "1e21", "--ladder-flops", "1e19")
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    batches = [line for line in text.splitlines() if line.startswith("  batch ")]
    assert batches
    assert all(line.endswith(" tokens") for line in batches)
