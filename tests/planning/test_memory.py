"""Memory per device against published measurements, and what divides it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isoflop.planning.hardware import GIB
from isoflop.planning.layout import Layout, Workload
from isoflop.planning.memory import MemoryUse, memory_per_device
from isoflop.shapes import count_params, published_shape
from isoflop.shapes.program import EAGER, EAGER_CPU, FLASH_2, Program, StateBytes

LLAMA = published_shape("llama-3-8b")


@pytest.mark.parametrize(
    ("data", "program", "measured"),
    [
        (8, EAGER, 82.4),
        (128, EAGER, 67.0),
        (8, Program(fused_loss=False, core_limit=FLASH_2), 77.0),
        (32, Program(), 47.96),
    ],
)
def test_llama_on_sharded_devices_needs_what_was_measured(data: int, program: Program, measured: float) -> None:
    # torchtitan, benchmarks/llama3_h100_202412_torchtitan.md and llama3-8b_h200_202506_trainy-whitefiber.md.
    layout = Layout(data=data, shard="all", micro_batch=2, recompute="half")
    use = memory_per_device(Workload(LLAMA, 2 * data, program), layout)
    assert use.total / GIB == pytest.approx(measured, rel=0.08)


def test_sharding_divides_the_state_and_only_the_state() -> None:
    load = Workload(LLAMA, 64)
    whole, sharded = (memory_per_device(load, Layout(data=8, shard=how)) for how in ("none", "all"))
    assert whole.weights + whole.gradients + whole.optimizer == 16 * count_params(LLAMA).total
    assert sharded.optimizer == whole.optimizer / 8
    assert sharded.weights == whole.weights / 8
    assert sharded.activations == whole.activations
    first = memory_per_device(load, Layout(data=8, shard="optimizer"))
    assert (first.weights, first.optimizer) == (whole.weights, whole.optimizer / 8)


def test_the_first_stage_keeps_as_many_micro_batches_as_there_are_stages() -> None:
    load = Workload(replace(LLAMA, vocab=1000), 64, Program(state=StateBytes(2, 4, 12)))
    one = memory_per_device(load, Layout()).activations
    piped = memory_per_device(load, Layout(pipeline=8))
    assert piped.activations == pytest.approx(one)  # an eighth of the layers, eight micro-batches
    interleaved = memory_per_device(load, Layout(pipeline=8, schedule="interleaved", chunks=4))
    assert interleaved.activations == pytest.approx(one * (1 + 7 / (8 * 4)))


def test_context_parallelism_divides_a_sequence() -> None:
    load = Workload(LLAMA, 8)
    whole = memory_per_device(load, Layout(data=8))
    shared = memory_per_device(load, Layout(data=2, context=4))
    assert shared.activations == whole.activations / 4


OWN = replace(LLAMA, layers=4, width=256, heads=4, kv_heads=None, ffn=704, context=256, norm="plain")


def own(vocab: int, *, batch: int = 8, accumulate: int = 1, entries: int = 0, tied: bool = False) -> MemoryUse:
    shape = replace(OWN, vocab=vocab, tied=tied)
    load = Workload(shape, batch * accumulate, replace(EAGER_CPU, loss_entries=entries), "fp32")
    return memory_per_device(load, Layout(shard="none", micro_batch=batch))


@pytest.mark.parametrize(("batch", "vocab", "measured"), [(16, 512, 441e6), (8, 32000, 1216e6)])
def test_a_step_whose_loss_makes_all_logits_needs_what_was_measured(batch: int, vocab: int, measured: float) -> None:
    # docs/benchmarks.md, the first table.
    assert own(vocab, batch=batch).total == pytest.approx(measured, rel=0.1)


def test_what_the_step_keeps_is_counted_tensor_by_tensor() -> None:
    # Of each layer, by torch.autograd.graph.saved_tensors_hooks: two norms' inputs and outputs, the product of query,
    # key and value whole and what rotation made of two thirds of it, attention's output, and four hidden sizes.
    tokens, kept = 8 * 256, 4 * 256 + 3 * 256 + 2 * 256 + 256 + 4 * 704 + 4
    assert own(512).activations == 4 * tokens * (4 * kept + 2 * 256)


def test_gradients_are_free_before_the_forward_pass_unless_they_add_up() -> None:
    once, added = own(32000), own(32000, accumulate=2)
    assert once.gradients == 0
    assert added.gradients == 4 * count_params(replace(OWN, vocab=32000)).total
    assert added.total > once.total


def test_a_loss_in_chunks_never_holds_the_logits_of_a_large_vocabulary() -> None:
    whole, chunked = own(128256), own(128256, entries=2**24)
    assert whole.logits == 3 * 4 * 8 * 256 * 128256
    assert chunked.logits == 4 * 2**24
    assert chunked.total < whole.total / 2


def test_a_replica_needs_what_a_device_alone_needs_and_a_shard_less() -> None:
    load = Workload(replace(OWN, vocab=512), 16, EAGER_CPU, "fp32")
    replica, shard = (memory_per_device(load, Layout(data=2, shard=kind, micro_batch=8)) for kind in ("none", "all"))
    assert replica == own(512, entries=EAGER_CPU.loss_entries)
    assert (shard.weights, shard.optimizer) == (replica.weights / 2, replica.optimizer / 2)
    assert 0 < shard.gathered < 2 * replica.weights  # two layers and the tables, with their gradients


def test_stages_add_up_their_gradients() -> None:
    load = Workload(replace(OWN, vocab=512), 16, EAGER_CPU, "fp32")
    assert memory_per_device(load, Layout(pipeline=2, shard="none", micro_batch=4)).gradients > 0
