"""The joint objective: what a text is asked for, and that parts of a batch add up to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from isoflop.adaptation import Full, HeadOnly, Lora, Recipe, Result, Split, finetune, read_split
from isoflop.adaptation.batches import padded
from isoflop.adaptation.classifier import Classifier
from isoflop.adaptation.joint import Hiding, Joint, JointBatch, joint_in, next_tokens
from isoflop.adaptation.losses import AnswerLoss
from isoflop.adaptation.objective import Objective, label_counts
from isoflop.adaptation.pretrained import read_pretrained
from isoflop.errors import UserError
from isoflop.evaluation import batch_loss
from isoflop.models import IGNORED, Batch
from isoflop.runs import read_curve, read_run
from isoflop.training.loop import backward


@pytest.fixture(scope="module")
def split(tables: dict[str, Path]) -> Split:
    return read_split(tables["test"], dev=tables["dev"])


def test_alpha_is_given_or_goes_in_a_line() -> None:
    assert joint_in("", None) is None
    assert joint_in("0.5", None) == Joint(0.5, 0.5)
    scheduled = joint_in("0:2", Path("t"))
    assert scheduled == Joint(0.0, 2.0, Path("t"))
    assert [scheduled.alpha(step, 5) for step in range(5)] == [0, 0.5, 1, 1.5, 2]
    for text in ("x", "1:", "-1", "0", "0:nan", "inf"):
        if text == "1:":
            assert joint_in(text, None) == Joint(1.0, 1.0)
        else:
            with pytest.raises(UserError, match="--joint-alpha"):
                joint_in(text, None)
    with pytest.raises(UserError, match="add --joint-alpha"):
        joint_in("", Path("t"))
    with pytest.raises(UserError, match="--method head leaves it as it is"):
        Recipe(HeadOnly(), joint=Joint(1, 1))


def test_the_next_token_is_asked_for_within_a_text() -> None:
    batch = next_tokens(padded([[5, 6, 7], [8]]))
    assert batch.targets.tolist() == [[6, 7, IGNORED], [IGNORED] * 3]
    assert next_tokens(padded([[5, 6], [7, 8]])).targets.tolist() == [[6, IGNORED], [8, IGNORED]]


def test_masking_is_that_of_bert(encoder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    hiding = Hiding.of(tokenizer, 304)
    assert tokenizer.id_to_token(hiding.mask) == "[MASK]"
    rows = [[10 + at % 200 for at in range(20)] for _ in range(300)] + [[7]]
    plain = padded(rows)
    found = hiding.apply(plain, np.random.default_rng(0))
    asked = found.targets != IGNORED
    assert asked.sum(dim=1).tolist() == [3] * 300 + [1]  # 15 % of 20, and one at least
    assert torch.equal(found.targets[asked], plain.inputs[asked])
    assert torch.equal(found.inputs[~asked], plain.inputs[~asked])
    hidden = (found.inputs == hiding.mask)[asked].float().mean().item()
    same = (found.inputs == plain.inputs)[asked].float().mean().item()
    assert hidden == pytest.approx(0.8, abs=0.05)
    assert same == pytest.approx(0.1, abs=0.04)
    special = torch.tensor([[hiding.mask, 5, 6]])
    assert all(
        hiding.apply(Batch(special, special), np.random.default_rng(seed)).targets[0, 0] == IGNORED for seed in range(9)
    )


def test_the_loss_is_the_sum_and_parts_add_up(encoder: Path) -> None:
    pretrained = read_pretrained(encoder)
    model = Classifier(pretrained.model, 2, pooling="mean").eval()
    rows = [[7, 8, 9, 10, 11, 12, 13], [9, 10], [11, 12, 13], [6, 7, 8, 9], [14, 15, 16]]
    task = padded(rows, [0, 1, 1, 0, 1])
    hiding = Hiding.of(pretrained.tokenizer, 304)
    text = hiding.apply(padded([row * 3 for row in rows]), np.random.default_rng(1))
    batch = JointBatch(task, text, alpha=0.7)
    few = next(iter(JointBatch(task, padded([[7, 8]]), alpha=1.0).split(2)))
    assert (len(few.task.inputs), len(few.text.inputs)) == (2, 0)  # fewer texts than parts
    objective = Objective(model, AnswerLoss(), None)
    expected = batch_loss(model.body, text) + 0.7 * batch_loss(model, task)
    torch.testing.assert_close(objective.loss(batch), expected)
    loss, gradients = {}, {}
    for parts in (1, 3):
        model.zero_grad()
        loss[parts] = backward(objective, batch, parts=parts)  # type: ignore[arg-type]
        gradients[parts] = torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
    torch.testing.assert_close(loss[3], loss[1])
    torch.testing.assert_close(gradients[3], gradients[1], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("loss", [AnswerLoss(0.1), AnswerLoss(focal=2.0), AnswerLoss(weights="balanced")])
def test_parts_of_a_batch_add_up_in_every_loss(loss: AnswerLoss, encoder: Path) -> None:
    model = Classifier(read_pretrained(encoder).model, 2, pooling="mean").eval()
    batch = padded([[7, 8], [9, 10], [11, 12, 13], [6], [14, 15]], [0, 1, 1, 1, 1])
    objective = Objective(model, loss, loss.weight_of(("a", "b"), [1, 4]))
    whole, parts = (backward(objective, batch, parts=count) for count in (1, 3))
    torch.testing.assert_close(parts, whole)


def test_labels_are_counted_over_an_epoch(split: Split, encoder: Path) -> None:
    trial = split.task.trial(read_pretrained(encoder), split, Recipe(batch=7))
    assert label_counts(trial.batches, 2) == [50, 50]


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_a_joint_training_keeps_the_text_in_mind(
    stack: str, split: Split, tmp_path: Path, study_text: Path, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isoflop.adaptation.tasks.classify.fit_floor", lambda split: None)
    folder = request.getfixturevalue(stack)
    lines = [" ".join(line) for line in np.array_split((study_text / "1.txt").read_text().split(), 70)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    recipe = Recipe(Full(), 1e-2, batch=20, epochs=6, joint=Joint(0.0, 1.0, tmp_path / "lines.txt"))
    *_, result = finetune(folder, split, out=tmp_path / "out", recipe=recipe)
    assert isinstance(result, Result)
    losses = [point.loss for point in read_curve(tmp_path / "out")]
    assert losses[0] > 2  # α is 0: words alone
    assert result.scores["dev"].accuracy > 0.8
    run = read_run(tmp_path / "out")
    plain = 6 * run.params * run.tokens
    assert run.flops == 2 * plain
    (tmp_path / "lines.txt").write_text("another text")
    with pytest.raises(UserError, match="another joint_text_hash"):
        next(finetune(folder, split, out=tmp_path / "out", recipe=recipe))


def test_what_a_joint_objective_needs_is_asked_for(encoder: Path, split: Split, tmp_path: Path) -> None:
    for name, content in (("none.txt", None), ("empty.txt", b"\n \n"), ("bytes.txt", b"\xff\xfe")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        recipe = Recipe(Lora(), joint=Joint(1, 1, tmp_path / name))
        with pytest.raises(UserError, match=name):
            next(finetune(encoder, split, out=tmp_path / "out", recipe=recipe))
    five = Tokenizer.from_str(Tokenizer.from_file(str(encoder / "tokenizer.json")).to_str().replace("[MASK]", "[NO]"))
    with pytest.raises(UserError, match=r"no \[MASK\]"):
        Hiding.of(five, 304)


def test_a_rising_alpha_is_no_divergence(encoder: Path, split: Split, tmp_path: Path) -> None:
    recipe = Recipe(Full(), 1e-4, batch=20, epochs=1, joint=Joint(0.0, 100.0))
    *_, result = finetune(encoder, split, out=tmp_path, recipe=recipe)
    assert isinstance(result, Result)


def test_a_part_is_as_long_as_its_own_longest_text(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Classifier(read_pretrained(encoder).model, 2, pooling="mean").eval()
    batch, lengths, states = padded([[7] * 9, [9, 10], [11, 12, 13]], [0, 1, 1]), [], model.body.states  # type: ignore[operator]
    monkeypatch.setattr(model.body, "states", lambda batch: lengths.append(batch.inputs.shape[1]) or states(batch))
    backward(Objective(model, AnswerLoss(), None), batch, parts=3)
    assert lengths == [9, 2, 3]
