"""One of four workers: what DiLoCo comes to, beside one process and beside DDP. `diloco_worker.py FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from isoflop.evaluation import batch_loss
from isoflop.models import Batch, build_model, parametrization
from isoflop.parallel import processes
from isoflop.parallel.diloco import DiLoCo, OuterStep
from isoflop.shapes import ModelShape

SHAPE = ModelShape(layers=1, width=16, heads=2, context=16, ffn=32, vocab=32, norm="plain")
BATCH, STEPS, EVERY, RATE = 16, 200, 10, 3e-3


def a_model() -> nn.Module:
    return build_model(SHAPE, parametrization("sp"), base=SHAPE, seed=0)[0]


def batch_at(step: int) -> Batch:
    """Each token decides the next, but for one in five that is any."""
    draw = torch.Generator().manual_seed(step)
    rows = torch.randint(0, SHAPE.vocab, (BATCH, SHAPE.context + 1), generator=draw)
    free = torch.rand(rows.shape, generator=draw) < 0.2
    for at in range(1, SHAPE.context + 1):
        rows[:, at] = torch.where(free[:, at], rows[:, at], (3 * rows[:, at - 1] + 1) % SHAPE.vocab)
    return Batch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())


def own(batch: Batch) -> Batch:
    return list(batch.split(BATCH // dist.get_world_size()))[dist.get_rank()]


def numbers(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def spread(model: nn.Module) -> float:
    """The largest difference of a weight between two workers."""
    mine = numbers(model)
    everywhere = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everywhere, mine)
    return max((one - everywhere[0]).abs().max().item() for one in everywhere)


def one_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    optimizer.zero_grad()
    batch_loss(model, batch).backward()
    optimizer.step()


def diloco(steps: int, settings: DiLoCo, kind: Any, **options: Any) -> tuple[nn.Module, OuterStep, list[list[float]]]:
    """Train; also the spread of the weights before and after each meeting."""
    model = a_model()
    outer, optimizer, spreads = OuterStep(model.parameters(), settings), kind(model.parameters(), **options), []
    for step in range(steps):
        one_step(model, optimizer, own(batch_at(step)))
        if (step + 1) % settings.every == 0:
            before = spread(model)
            outer.step()
            spreads.append([before, spread(model)])
    return model, outer, spreads


def mean_of_workers() -> float:
    """How far a meeting at lr 1 without momentum is from the mean of the workers' weights."""
    model = a_model()
    outer, optimizer = OuterStep(model.parameters(), DiLoCo(1, 1.0, 0.0)), torch.optim.AdamW(model.parameters(), RATE)
    worst = 0.0
    for step in range(5):
        one_step(model, optimizer, own(batch_at(step)))
        mean = numbers(model)
        dist.all_reduce(mean)
        outer.step()
        worst = max(worst, (numbers(model) - mean / dist.get_world_size()).abs().max().item())
    return worst


def distance_from_one_process() -> float:
    """With plain SGD in the workers, from one process on the whole batch."""
    model, _, _ = diloco(5, DiLoCo(1, 1.0, 0.0), torch.optim.SGD, lr=0.1)
    alone = a_model()
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.1)
    for step in range(5):
        one_step(alone, optimizer, batch_at(step))
    assert (numbers(alone) - numbers(a_model())).abs().max() > 1e-3
    return (numbers(model) - numbers(alone)).abs().max().item()


class Loss(nn.Module):
    """The mean loss, in a form that DDP takes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return batch_loss(self.model, Batch(inputs, targets))


def ddp() -> tuple[nn.Module, int]:
    """Data-parallel AdamW, and how many numbers it sent."""
    model, sent = a_model(), [0]
    wrapped = DistributedDataParallel(Loss(model))
    count = sum(parameter.numel() for parameter in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), RATE)

    def hook(_state, bucket):  # DDP refuses annotations that are strings
        sent[0] += bucket.buffer().numel()
        work = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
        return work.then(lambda future: future.value()[0] / dist.get_world_size())

    wrapped.register_comm_hook(None, hook)
    for step in range(STEPS):
        optimizer.zero_grad()
        wrapped(*own(batch_at(step))[:2]).backward()
        optimizer.step()
    assert sent[0] == count * STEPS
    return model, sent[0]


def valid(model: nn.Module) -> float:
    with torch.no_grad():
        return sum(batch_loss(model, batch_at(10**6 + n)).item() for n in range(10)) / 10


if __name__ == "__main__":
    torch.set_num_threads(1)
    with processes(timeout_seconds=840):
        model, outer, spreads = diloco(STEPS, DiLoCo(every=EVERY), torch.optim.AdamW, lr=RATE)
        reference, sent = ddp()
        found = {
            "spreads": spreads,
            "mean": mean_of_workers(),
            "one process": distance_from_one_process(),
            "first": valid(a_model()),
            "diloco": valid(model),
            "ddp": valid(reference),
            "meetings": outer.meetings,
            "diloco sent": outer.numbers_sent,
            "ddp sent": sent,
        }
        if dist.get_rank() == 0:
            (Path(sys.argv[1]) / "found.json").write_text(json.dumps(found))
