"""Training throughput of our decoder beside four others of the same shape, on one processor thread.

    python benchmarks/throughput.py [--quick] [--rounds 5] [--shape 0|1] [--loss [--rates 1.0 3e-3]]

All models of a shape train in one process by turns, whole steps each (forward, backward, clipping, fused AdamW), every
rival eager and compiled, in fp32 and in bf16 (autocast), so that whatever else the machine does falls on all.
Compiling happens before the timing. Printed are medians over rounds of tokens per second of processor time, and of the
ratio of ours, in the precision that `choose` picks for a long run, to each. `--quick` leaves all rivals but nanoGPT
out. `--loss` instead trains on the default corpus for 200 steps and prints validation losses, at the rates `--rates`
(ours, GPT-2's).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from rivals import Setting, matrix_parameters, missing, rivals
from torch import Tensor, nn

from isoflop.data import CausalBatches, CorpusConfig, TokenizerConfig, prepare_tokens, validation_batch
from isoflop.evaluation import batch_loss, validation_loss
from isoflop.models import Batch, build_model, parametrization
from isoflop.planning import Family
from isoflop.shapes import ModelShape
from isoflop.study.preparation import cache_folder
from isoflop.training import Choice, OptimizerConfig, build_optimizer, choose, set_precision

SETTINGS = (Setting(6, 256, 4, 256, 4096, 16), Setting(2, 64, 2, 128, 4096, 16))
LONG = 20_000
"""Steps of the run that a choice is made for: some hours of the larger shape."""
LOSS_STEPS = 200
Step = Callable[[Batch], None]


def shape_of(setting: Setting) -> ModelShape:
    return Family(setting.layers, setting.heads, setting.vocab, setting.context).at(setting.width)


def ours(setting: Setting, choice: Choice, *, table: str = "u-mup", lr: float = 0.1) -> tuple[nn.Module, Step]:
    """Our decoder and its training step."""
    shape = shape_of(setting)
    model, rules = build_model(shape, parametrization(table), base=shape, seed=0)
    set_precision(model, choice)
    return model, stepper(model, build_optimizer(model, rules, OptimizerConfig(lr=lr)), batch_loss)


def rival(
    make: Callable[[Setting], nn.Module], setting: Setting, choice: Choice, *, lr: float
) -> tuple[nn.Module, Step]:
    """Another's model and its training step."""
    torch.manual_seed(0)
    model = make(setting)

    def plain(batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch).flatten(0, 1), batch.targets.flatten())

    compiled = torch.compile(plain, dynamic=False) if choice.compiled else plain  # the loss too, as nanoGPT has it

    def loss(_: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16) if choice.dtype == "bf16" else nullcontext():
            return compiled(batch)

    return model, stepper(model, torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), fused=True), loss)


def stepper(model: nn.Module, optimizer: torch.optim.Optimizer, loss_of: Callable[[nn.Module, Batch], Tensor]) -> Step:
    parameters = list(model.parameters())

    def step(batch: Batch) -> None:
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def competitors(setting: Setting, *, quick: bool) -> Iterator[tuple[str, nn.Module, Step]]:
    """Ours first, as chosen; then ours otherwise, then the rivals."""
    choice = choose(shape_of(setting), LONG, batch=setting.batch)
    print(f"{setting}\n  picked for {LONG:,} steps: {choice}\n  for 200 steps: ", end="")
    print(choose(shape_of(setting), 200, batch=setting.batch), flush=True)
    yield "ours, as picked", *ours(setting, choice)
    yield "ours, as picked, SP", *ours(setting, choice, table="sp")
    for dtype in ("fp32", "bf16"):
        yield f"ours, {dtype}, eager", *ours(setting, Choice(dtype))
    for name, make in list(rivals().items())[: 1 if quick else None]:
        for compiled in (False, True):
            for dtype in ("fp32", "bf16"):
                label = f"{name}, {dtype}, {'compiled' if compiled else 'eager'}"
                yield label, *rival(make, setting, Choice(dtype, compiled), lr=1e-3)


def time_all(setting: Setting, *, rounds: int, quick: bool) -> None:
    """Print one shape's table."""
    torch._dynamo.reset()
    rows_BT = torch.randint(setting.vocab, (setting.batch, setting.context + 1))
    batch = Batch(rows_BT[:, :-1], rows_BT[:, 1:])
    entries = []
    for label, model, step in competitors(setting, quick=quick):
        step(batch)
        step(batch)
        entries.append((label, matrix_parameters(model, setting), step, []))
    for turn in range(rounds):
        for _, _, step, speeds in entries if turn % 2 else reversed(entries):
            start = time.process_time()
            step(batch)
            speeds.append(setting.batch * setting.context / (time.process_time() - start))
    print(f"  {'model':38} {'matrices':>10} {'tok/s':>9} {'ours/it':>8}")
    for label, size, _, speeds in entries:
        ratio = statistics.median(a / b for a, b in zip(entries[0][3], speeds, strict=True))
        print(f"  {label:38} {size:>10,} {statistics.median(speeds):>9,.0f} {ratio:>8.2f}", flush=True)
    others = [statistics.median(speeds) for label, _, _, speeds in entries if not label.startswith("ours")]
    print(f"  ours, as picked / best of the others: {statistics.median(entries[0][3]) / max(others):.2f}", flush=True)


def losses_after_training(setting: Setting, rates: list[float]) -> None:
    """Print validation losses after 200 steps on the default corpus."""
    data, _ = prepare_tokens(CorpusConfig(), TokenizerConfig(vocab=setting.vocab), cache=cache_folder())
    batches = CausalBatches(data.train(), setting.context, setting.batch, 0)
    valid = validation_batch(data.valid(), context=setting.context, count=128)
    print(f"{setting}: validation loss after {LOSS_STEPS} steps on the default corpus", flush=True)
    picked = choose(shape_of(setting), LOSS_STEPS, batch=setting.batch)
    everyone = [
        *((f"ours, {c.dtype}, {'compiled' if c.compiled else 'eager'}", None, c) for c in (picked, Choice("fp32"))),
        *(
            (f"nanoGPT's layout, {dtype}, eager", rivals()["nanoGPT's layout"], Choice(dtype))
            for dtype in ("fp32", "bf16")
        ),
    ]
    for label, make, choice in everyone:
        lr = rates[0] if make is None else rates[1]
        model, step = ours(setting, choice, lr=lr) if make is None else rival(make, setting, choice, lr=lr)
        start = time.process_time()
        for index in range(LOSS_STEPS):
            step(batches.at(index))
        seconds = time.process_time() - start
        found = validation_loss(model, valid)
        print(f"  {label:38} {found.nats:.3f} ± {found.standard_error:.3f}, {seconds:.0f} s, rate {lr:g}", flush=True)


def main() -> None:
    """Print the tables asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--loss", action="store_true")
    asked.add_argument("--rates", type=float, nargs=2, default=[1.0, 3e-3])
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--shape", type=int, choices=range(len(SETTINGS)))
    options = asked.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    if missing():
        print(f"left out, not installed: {', '.join(missing())}")
    for setting in SETTINGS if options.shape is None else SETTINGS[options.shape : options.shape + 1]:
        if options.loss:
            losses_after_training(setting, options.rates)
        else:
            time_all(setting, rounds=options.rounds, quick=options.quick)


if __name__ == "__main__":
    main()
