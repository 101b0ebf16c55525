"""The validation loss is the mean cross-entropy that a plain computation gives, however it is cut into batches."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
import torch
from torch import Tensor, nn

from isoflop.data.batches import shifted
from isoflop.evaluation import batch_loss, validation_loss
from isoflop.evaluation import loss as loss_module
from isoflop.models import Batch

VOCAB = 7


class Table(nn.Module):
    """Logits of the next token from the last one alone: a table that plain Python can read too."""

    def __init__(self) -> None:
        super().__init__()
        rows = torch.randn(VOCAB, VOCAB, generator=torch.Generator().manual_seed(0))
        self.logits = nn.Parameter(rows)
        self.dropout = nn.Dropout(0.5)

    def forward(self, batch: Batch) -> Tensor:
        return self.dropout(self.logits[batch.inputs])


def windows(count: int, length: int = 6) -> Tensor:
    return torch.randint(VOCAB, (count, length), generator=torch.Generator().manual_seed(1))


def by_hand(model: Table, rows: Tensor) -> list[float]:
    """Each sequence's mean of -log softmax, in Python floats."""
    table = model.logits.tolist()
    losses = []
    for row in rows.tolist():
        nats = [
            math.log(math.fsum(math.exp(x) for x in table[last])) - table[last][following]
            for last, following in itertools.pairwise(row)
        ]
        losses.append(statistics.fmean(nats))
    return losses


@pytest.mark.parametrize("count", [2, 63, 64, 65, 200])
def test_it_is_the_mean_of_a_plain_computation_with_its_standard_error(count: int) -> None:
    model, rows = Table(), windows(count)
    expected = by_hand(model, rows)
    found = validation_loss(model, shifted(rows))
    assert found.nats == pytest.approx(statistics.fmean(expected), rel=1e-6)
    assert found.standard_error == pytest.approx(statistics.stdev(expected) / math.sqrt(count), rel=1e-5)


@pytest.mark.parametrize("at_once", [1, 7, 50, 1000])
def test_the_size_of_a_batch_does_not_matter(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = Table(), windows(50)
    whole = validation_loss(model, shifted(rows))
    monkeypatch.setattr(loss_module, "SEQUENCES_AT_ONCE", at_once)
    cut = validation_loss(model, shifted(rows))
    assert cut.nats == pytest.approx(whole.nats, rel=1e-12)
    assert cut.standard_error == pytest.approx(whole.standard_error, rel=1e-12)


def test_the_standard_error_is_the_spread_of_repeated_measurements() -> None:
    model = Table().eval()
    draw = torch.Generator().manual_seed(2)
    samples = [validation_loss(model, shifted(torch.randint(VOCAB, (40, 6), generator=draw))) for _ in range(400)]
    spread = statistics.stdev(one.nats for one in samples)
    assert statistics.fmean(one.standard_error for one in samples) == pytest.approx(spread, rel=0.12)


def test_one_sequence_has_no_standard_error_to_tell() -> None:
    assert validation_loss(Table(), shifted(windows(1))).standard_error == 0.0


@pytest.mark.parametrize("training", [True, False])
def test_the_model_comes_back_in_the_mode_it_was_in_and_without_gradients(training: bool) -> None:
    model = Table().train(training)
    validation_loss(model, shifted(windows(4)))
    assert model.training is training
    assert model.logits.grad is None


def test_a_broken_model_is_not_hidden() -> None:
    model = Table()
    with torch.no_grad():
        model.logits[0, 0] = math.nan
    assert math.isnan(validation_loss(model, shifted(windows(50))).nats)


def test_the_training_loss_is_the_same_quantity() -> None:
    model, rows = Table().eval(), windows(20)
    loss = batch_loss(model, shifted(rows))
    assert loss.item() == pytest.approx(validation_loss(model, shifted(rows)).nats, rel=1e-6)
