"""The validation loss is the mean cross-entropy that a plain computation gives, however it is cut into batches."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.data.batches import shifted
from isoflop.evaluation import ValidationLoss, batch_loss, validation_loss
from isoflop.evaluation import loss as loss_module
from isoflop.models import IGNORED, Batch

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


class Headed(Table):
    """The table as features of its own and a head that turns them; counts how often its logits are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(VOCAB, VOCAB)
        self.asked = 0

    def features(self, batch: Batch) -> Tensor:
        return self.dropout(self.logits[batch.inputs])

    def features_and_pair_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        features_BTD = self.features(batch)
        return features_BTD, features_BTD[:, 0, :2]

    def forward(self, batch: Batch) -> Tensor:
        self.asked += 1
        return self.head(self.features(batch))


def some_predicted() -> Batch:
    """Six sequences; the fourth has nothing to predict, the others every third place."""
    batch = shifted(windows(6))
    targets = torch.full_like(batch.targets, IGNORED)
    targets[:, ::3] = batch.targets[:, ::3]
    targets[3] = IGNORED
    return batch._replace(targets=targets)


def test_a_model_with_a_linear_head_gives_the_same_loss_without_its_logits() -> None:
    model, batch = Headed().eval(), some_predicted()
    found = batch_loss(model, batch)
    assert model.asked == 0
    expected = F.cross_entropy(model(batch).flatten(0, 1), batch.targets.flatten())
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("kind", [Table, Headed])
def test_each_sequence_counts_by_its_predicted_tokens(kind: type[nn.Module]) -> None:
    model, batch = kind().eval(), some_predicted()
    nats = F.cross_entropy(model(batch).transpose(1, 2), batch.targets, reduction="none").detach()
    means = [row[targets != IGNORED].mean().item() for row, targets in zip(nats, batch.targets, strict=True)]
    means.pop(3)
    found = validation_loss(model, batch)
    assert found.nats == pytest.approx(statistics.fmean(means), rel=1e-6)
    assert found.standard_error == pytest.approx(statistics.stdev(means) / math.sqrt(5), rel=1e-5)


def test_the_mean_is_over_tokens_and_its_error_over_sequences() -> None:
    """Sequences that predict more count more; the error is that found from the spread of many samples."""
    model, batch = Table().eval(), shifted(windows(6))
    batch = batch._replace(targets=batch.targets.clone())
    batch.targets[0, 2:] = IGNORED
    nats_BT = F.cross_entropy(model(batch).transpose(1, 2), batch.targets, reduction="none").detach()
    predicted_BT = batch.targets != IGNORED
    found = ValidationLoss.of(nats_BT.sum(dim=1), predicted_BT.sum(dim=1))
    assert found.nats == pytest.approx(nats_BT[predicted_BT].mean().item(), rel=1e-6)
    assert validation_loss(model, batch).nats == pytest.approx(found.nats, rel=1e-6)
    draw = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(400):
        count_B = torch.randint(1, 9, (50,), generator=draw)
        samples.append(ValidationLoss.of(count_B * (2 + torch.randn(50, generator=draw)), count_B))
    spread = statistics.stdev(sample.nats for sample in samples)
    assert statistics.fmean(sample.standard_error for sample in samples) == pytest.approx(spread, rel=0.1)


def test_the_order_of_a_pair_is_one_more_term() -> None:
    model, order = Headed().eval(), torch.tensor([0, 1, 1, 0, 1, 0])
    batch = some_predicted()
    tokens, both = batch_loss(model, batch), batch_loss(model, batch._replace(order=order))
    _, pairs = model.features_and_pair_logits(batch)
    assert both.item() - tokens.item() == pytest.approx(F.cross_entropy(pairs, order).item(), rel=1e-5)


def test_low_precision_is_the_callers_choice() -> None:
    model, batch = Headed().eval(), some_predicted()
    with torch.autocast("cpu", torch.bfloat16):
        low = batch_loss(model, batch)
    assert low.dtype == torch.float32
    assert low.item() != batch_loss(model, batch).item()
    assert low.item() == pytest.approx(batch_loss(model, batch).item(), rel=1e-2)
