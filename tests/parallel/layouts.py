"""The table of layouts that must equal one process, and the training that each of them is put through."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isoflop.models import IGNORED, PADDING, Batch, WeightRule, build_model, parametrization
from isoflop.parallel import Mesh, Method, Parallelized
from isoflop.shapes import ModelShape
from isoflop.training import OptimizerConfig, build_optimizer

STEPS, BATCH, CLIP = 5, 8, 0.5
SEED = 3
TOLERANCE = 1e-5

DECODER = ModelShape(layers=4, width=32, heads=8, kv_heads=4, vocab=67, context=16, ffn=48, norm="plain")
"""Grouped keys and values, a gated feed-forward, a vocabulary that nothing divides."""
EVEN = dataclasses.replace(DECODER, vocab=68, kv_heads=None, feed_forward="gelu")
GPT = dataclasses.replace(EVEN, norm="layer", biases="all", positions="learned", tied=True, qk_norm=True)
BERT = dataclasses.replace(
    GPT, stack="encoder", norm_place="post", qk_norm=False, segments=2, pooler=True, transform=True, vocab=67
)
T5 = dataclasses.replace(
    DECODER, stack="encoder_decoder", layers=2, norm="rms", positions="relative", feed_forward="geglu", kv_heads=None
)
ALIBI = dataclasses.replace(DECODER, norm="rms", positions="alibi", attention="window", attention_span=5, biases="qkv")
TIED = dataclasses.replace(DECODER, tied=True)
SINUSOIDAL = dataclasses.replace(EVEN, positions="sinusoidal")
RELATIVE = dataclasses.replace(DECODER, kv_heads=None, positions="relative")
UNPOOLED = dataclasses.replace(BERT, pooler=False)


PLAIN = Method()


@dataclass(frozen=True)
class Layout:
    """One line of the table; `packed`: a decoder's sequences hold several documents, padding and prefixes."""

    name: str
    mesh: Mesh
    method: Method = PLAIN
    shape: ModelShape = DECODER
    table: str = "u-mup"
    packed: bool = False

    @property
    def batches(self) -> RandomBatches:
        return RandomBatches(self.shape, packed=self.packed)


MICRO = 4
ONE_F_ONE_B = Method(micro_batches=MICRO)
LAYOUTS = (
    Layout("DDP 2", Mesh(replicate=2)),
    Layout("DDP 2, 4 micro-batches", Mesh(replicate=2), Method(micro_batches=MICRO)),
    Layout("FSDP2 2", Mesh(shard=2)),
    Layout("FSDP2 2, tied, 2 micro-batches", Mesh(shard=2), Method(micro_batches=2), TIED),
    Layout("TP 2", Mesh(tensor=2), Method(sequence=False, loss_parallel=False), EVEN),
    Layout("TP 2, tied", Mesh(tensor=2), Method(sequence=False), TIED, "completep"),
    Layout("TP+SP+loss-parallel 2", Mesh(tensor=2)),
    Layout("PP 2, 1F1B", Mesh(pipeline=2), ONE_F_ONE_B),
    Layout("PP 2, interleaved", Mesh(pipeline=2), Method(micro_batches=MICRO, schedule="interleaved")),
    Layout("PP 2, zero-bubble", Mesh(pipeline=2), Method(micro_batches=MICRO, schedule="interleaved-zero-bubble")),
    Layout("PP 2, zero-bubble V", Mesh(pipeline=2), Method(micro_batches=MICRO, schedule="zbv-zero-bubble")),
    Layout("PP 2, tied", Mesh(pipeline=2), ONE_F_ONE_B, TIED, "completep"),
    Layout("PP 2, interleaved, tied", Mesh(pipeline=2), Method(micro_batches=MICRO, schedule="interleaved"), TIED),
    Layout(
        "PP 2, zero-bubble V, tied", Mesh(pipeline=2), Method(micro_batches=MICRO, schedule="zbv-zero-bubble"), TIED
    ),
    Layout("GPT-2's decoder, PP 2", Mesh(pipeline=2), ONE_F_ONE_B, GPT, "sp"),
    Layout("encoder with pairs, PP 2", Mesh(pipeline=2), Method(micro_batches=2), BERT),
    Layout("CP 2, Ulysses", Mesh(context=2)),
    Layout("CP 2, gathered keys", Mesh(context=2), Method(context="gather"), table="sp"),
    Layout("PP 2, packed", Mesh(pipeline=2), ONE_F_ONE_B, packed=True),
    Layout("CP 2, Ulysses, packed", Mesh(context=2), packed=True),
    Layout("CP 2, gathered keys, packed", Mesh(context=2), Method(context="gather"), SINUSOIDAL, packed=True),
    Layout("ALiBi and windows, CP 2, Ulysses", Mesh(context=2), shape=ALIBI, packed=True),
    Layout("GPT-2's decoder, CP 2, gathered keys", Mesh(context=2), Method(context="gather"), GPT, "sp", packed=True),
    Layout("encoder, CP 2, gathered keys", Mesh(context=2), Method(context="gather"), UNPOOLED),
    Layout("FSDP2 2, recomputed", Mesh(shard=2), Method(recompute="full")),
    Layout("TP+SP 2, half recomputed", Mesh(tensor=2), Method(recompute="selective")),
    Layout("GPT-2's decoder, TP+SP 2", Mesh(tensor=2), shape=GPT, table="sp"),
    Layout("GPT-2's decoder, FSDP2 2", Mesh(shard=2), shape=GPT, table="sp"),
    Layout("ALiBi and windows, TP+SP 2", Mesh(tensor=2), shape=ALIBI),
    Layout("ALiBi and windows, PP 2", Mesh(pipeline=2), ONE_F_ONE_B, shape=ALIBI),
    Layout("encoder with pairs, DDP 2", Mesh(replicate=2), Method(micro_batches=2), shape=BERT),
    Layout("encoder with pairs, FSDP2 2", Mesh(shard=2), shape=BERT),
    Layout("encoder with pairs, TP+SP 2", Mesh(tensor=2), shape=BERT),
    Layout("encoder-decoder, DDP 2", Mesh(replicate=2), shape=T5),
    Layout("encoder-decoder, FSDP2 2", Mesh(shard=2), Method(recompute="full"), shape=T5),
    Layout("encoder-decoder, TP 2", Mesh(tensor=2), Method(sequence=False), shape=T5),
    Layout("encoder-decoder, TP+SP 2", Mesh(tensor=2), shape=T5),
    Layout("encoder with pairs, TP 2 × FSDP2 2", Mesh(tensor=2, shard=2), shape=BERT),
    Layout("encoder-decoder, TP 2 × FSDP2 2", Mesh(tensor=2, shard=2), shape=T5),
    Layout("HSDP 2×2", Mesh(replicate=2, shard=2)),
    Layout("TP 2 × FSDP2 2", Mesh(tensor=2, shard=2)),
    Layout("TP 2 × DDP 2", Mesh(tensor=2, replicate=2), table="mup"),
    Layout("PP 2 × FSDP2 2", Mesh(pipeline=2, shard=2), ONE_F_ONE_B),
    Layout("PP 2 × DDP 2", Mesh(pipeline=2, replicate=2), Method(micro_batches=MICRO, schedule="zbv-zero-bubble")),
    Layout("PP 2 × TP 2", Mesh(pipeline=2, tensor=2), ONE_F_ONE_B),
    Layout("PP 2 × FSDP2 2, tied", Mesh(pipeline=2, shard=2), ONE_F_ONE_B, TIED),
    Layout("PP 2 × DDP 2, encoder with pairs", Mesh(pipeline=2, replicate=2), Method(micro_batches=2), BERT),
    Layout("PP 2 × TP 2, tied", Mesh(pipeline=2, tensor=2), ONE_F_ONE_B, TIED),
    Layout("PP 4, tied", Mesh(pipeline=4), ONE_F_ONE_B, TIED),
    Layout("CP 2 × FSDP2 2", Mesh(context=2, shard=2)),
    Layout("CP 2 × FSDP2 2, packed", Mesh(context=2, shard=2), Method(micro_batches=2), packed=True),
    Layout("relative positions, CP 2 × TP 2", Mesh(context=2, tensor=2), shape=RELATIVE, packed=True),
    Layout("encoder, CP 2 × PP 2", Mesh(context=2, pipeline=2), Method(micro_batches=2), UNPOOLED),
    Layout("CP 2 × TP 2", Mesh(context=2, tensor=2), Method(context="gather")),
    Layout("CP 4, Ulysses", Mesh(context=4)),
    Layout("PP 2 × TP 2 × FSDP2 2", Mesh(pipeline=2, tensor=2, shard=2), ONE_F_ONE_B),
    Layout("CP 2 × TP 2 × FSDP2 2", Mesh(context=2, tensor=2, shard=2)),
    Layout("PP 2, interleaved × HSDP 2×2", Mesh(2, 2, pipeline=2), Method(micro_batches=2, schedule="interleaved")),
)
COMPILED = (
    Layout("FSDP2 2, compiled", Mesh(shard=2), Method(compile=True)),
    Layout("TP+SP 2, compiled", Mesh(tensor=2), Method(compile=True)),
    Layout("DDP 2, compiled, recomputed", Mesh(replicate=2), Method(compile=True, recompute="full")),
)
"""Compiling takes a minute each."""


@dataclass(frozen=True)
class Outcome:
    """What five steps of training came to; the last losses were measured afterwards, without learning: of a batch,
    and of each of its sequences."""

    losses: list[float]
    norms: list[float]
    weights: dict[str, Tensor]

    def furthest(self, other: Outcome) -> tuple[float, float, float]:
        """The worst differences in loss, in gradient norm (relative where it is above 1) and in any weight."""
        return (
            max(abs(a - b) for a, b in zip(self.losses, other.losses, strict=True)),
            max(abs(a - b) / max(1.0, b) for a, b in zip(self.norms, other.norms, strict=True)),
            max((self.weights[name] - other.weights[name]).abs().max().item() for name in other.weights),
        )


class RandomBatches:
    """Batches as a function of the step, with fewer targets in some rows than in others."""

    def __init__(self, shape: ModelShape, *, packed: bool) -> None:
        self.shape, self.packed = shape, packed

    def at(self, step: int) -> Batch:
        draw = torch.Generator().manual_seed(1000 + step)
        rows = torch.randint(self.shape.vocab, (BATCH, self.shape.context + 1), generator=draw)
        inputs, targets = rows[:, :-1], rows[:, 1:].clone()
        targets[0, 3:] = IGNORED
        targets[5, :9] = IGNORED
        batch = Batch(inputs, targets)
        documents = torch.ones_like(inputs)
        documents[2, 10:] = PADDING
        documents[3, 5:] = 2
        if self.shape.stack == "decoder":
            prefix = torch.randint(12, (BATCH,), generator=draw)
            return batch._replace(documents=documents, prefix=prefix) if self.packed else batch
        if self.shape.stack == "encoder":
            order = torch.randint(2, (BATCH,), generator=draw) if self.shape.pooler else None
            return batch._replace(documents=documents, segments=(inputs > 30).long(), order=order)
        source = torch.randint(self.shape.vocab, (BATCH, 12), generator=draw)
        return batch._replace(documents=documents, source=source, source_documents=documents[:, :12])


def a_model(layout: Layout) -> tuple[nn.Module, dict[str, WeightRule]]:
    """The layout's plain model and its rules."""
    base = dataclasses.replace(layout.shape, width=16, layers=2)
    return build_model(layout.shape, parametrization(layout.table), base=base, seed=SEED)


def an_optimizer(model: nn.Module, rules: dict[str, WeightRule], shape: ModelShape) -> torch.optim.Optimizer:
    """AdamW; with a large ε where keys have biases.

    A softmax does not see them, so their gradient is zero but for rounding, which Adam without ε would take for a
    direction: then no two orders of the same sum train alike.
    """
    invisible = shape.biases != "none" or (shape.qk_norm and shape.norm == "layer")
    config = OptimizerConfig(lr=2**-7, weight_decay=0.01, eps=1e-4 if invisible else 1e-8)
    return build_optimizer(model, rules, config)


def train(
    optimizer: torch.optim.Optimizer,
    *,
    batches: RandomBatches,
    gradients: Callable[[Batch], float],
    clip: Callable[[float], float],
    steps: range = range(STEPS),
) -> Iterator[tuple[float, float]]:
    """Loss and gradient norm of each of `steps`."""
    for step in steps:
        optimizer.zero_grad()
        loss = gradients(batches.at(step))
        norm = clip(CLIP)
        optimizer.step()
        yield loss, norm


def alone(layout: Layout) -> Outcome:
    """The layout's model trained in one process with torch's own loss and clipping: what all is held against."""
    model, rules = a_model(layout)

    def loss(batch: Batch) -> Tensor:
        loss = F.cross_entropy(model(batch).flatten(0, 1), batch.targets.flatten())
        return loss if batch.order is None else loss + F.cross_entropy(model.pair_logits(batch), batch.order)

    def gradients(batch: Batch) -> float:
        value = loss(batch)
        value.backward()
        return value.item()

    def clip(most: float) -> float:
        return torch.nn.utils.clip_grad_norm_(model.parameters(), most).item()

    optimizer = an_optimizer(model, rules, layout.shape)
    done = list(train(optimizer, batches=layout.batches, gradients=gradients, clip=clip))
    batch = layout.batches.at(STEPS)
    nats_BT = F.cross_entropy(model(batch).transpose(1, 2), batch.targets, reduction="none").detach()
    after = [loss(batch).item(), *per_token(nats_BT.sum(dim=1), batch)]
    weights = {name: p.detach() for name, p in model.named_parameters()}
    return Outcome([*(a for a, _ in done), *after], [b for _, b in done], weights)


def outcome(model: Parallelized, done: Sequence[tuple[float, float]], batches: RandomBatches) -> Outcome:
    """The same of a divided model that has `done` its steps; only the first process gets the weights."""
    batch = batches.at(STEPS)
    after = [model.loss(batch), *per_token(model.sequence_losses(batch), batch)]
    return Outcome([*(a for a, _ in done), *after], [b for _, b in done], model.whole_weights() or {})


def per_token(nats_B: Tensor, batch: Batch) -> list[float]:
    """Each sequence's mean over its predicted tokens."""
    return (nats_B / (batch.targets != IGNORED).sum(dim=1)).tolist()
