"""SP, μP and CompleteP folded into a plain model, against the network that the papers' table describes, trained."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.evaluation import batch_loss
from isoflop.models import Batch, Decoder, build_model, parametrization
from isoflop.models.parametrization import completep
from isoflop.models.positions import rotate
from isoflop.shapes import ModelShape
from isoflop.training import OptimizerConfig, build_optimizer

BASE = ModelShape(layers=2, width=16, heads=2, vocab=40, context=12, ffn=32, norm="plain", feed_forward="gelu")
SHAPE = dataclasses.replace(BASE, layers=4, width=48, heads=6, ffn=96)
M_N, M_L = 3.0, 2.0
ETA, LAMBDA, EPS, STD = 0.01, 0.1, 1e-2, 0.02
"""ε is large on purpose: were its rule wrong, the two would part at once."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of table 1 of Dey et al. (arXiv 2505.01618), as numbers at this width and depth."""

    hidden_std: float
    hidden_lr: float
    hidden_decay: float
    block_eps: float
    branch: float
    unembed: float
    logits: float


COLUMNS = {
    "sp": Column(STD, ETA, LAMBDA, EPS, 1.0, 1.0, 8**-0.5),
    "mup": Column(STD / M_N**0.5, ETA / M_N, LAMBDA * M_N, EPS / M_N, 1.0, 1 / M_N, 1 / 8),
    "completep": Column(STD / M_N**0.5, ETA / M_N, LAMBDA * M_N, EPS / M_N / M_L, 1 / M_L, 1 / M_N, 1 / 8),
    "half": Column(
        STD / M_N**0.5,
        ETA / M_N * M_L**-0.5,
        LAMBDA * M_N * M_L**0.5,  # the table's λ·m_N at a rate without m_L: here the share of a step stays η·λ
        EPS / M_N * M_L**-0.5,
        M_L**-0.5,
        1 / M_N,
        1 / 8,
    ),
}


def logits(weights: dict[str, Tensor], tokens_BT: Tensor, column: Column, rotation: tuple[Tensor, Tensor]) -> Tensor:
    x = F.embedding(tokens_BT, weights["embedding.weight"])
    for i in range(SHAPE.layers):
        prefix = f"blocks.{i}."
        qkv = F.linear(normed(x), weights[prefix + "attention.qkv.weight"])
        q, k, v = (part.unflatten(-1, (SHAPE.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, -1))
        scores = column.logits * rotate(q, rotation) @ rotate(k, rotation).transpose(-1, -2)
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        mixed = (scores.masked_fill(future, -torch.inf).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + column.branch * F.linear(mixed, weights[prefix + "attention.out.weight"])
        hidden = F.gelu(F.linear(normed(x), weights[prefix + "feed_forward.up.weight"]))
        x = x + column.branch * F.linear(hidden, weights[prefix + "feed_forward.down.weight"])
    return column.unembed * F.linear(normed(x), weights["head.weight"])


def normed(x: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + SHAPE.norm_eps).sqrt()


def unfolded_weights(model: Decoder, column: Column) -> dict[str, Tensor]:
    """The same draw as the folded model's, at the table's own standard deviations."""
    stds = {"embedding": STD, "head": STD}
    weights = {}
    for name, weight in model.named_parameters():
        standard = weight.detach() / folded_std(name, column)
        weights[name] = (standard * stds.get(name.split(".")[0], column.hidden_std)).requires_grad_()
    return weights


def folded_std(name: str, column: Column) -> float:
    if name.startswith(("embedding", "head")):
        return STD * (column.unembed if name.startswith("head") else 1)
    return column.hidden_std * (column.branch if name.endswith(("out.weight", "down.weight")) else 1)


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_the_folded_model_is_the_papers_network_while_both_train(name: str) -> None:
    column = COLUMNS[name]
    table = completep(0.5) if name == "half" else parametrization(name)
    model, rules = build_model(SHAPE, table, base=BASE, seed=0)
    model = model.double()
    weights = unfolded_weights(model, column)
    groups = [
        {"params": [w], "lr": ETA, "weight_decay": LAMBDA, "eps": EPS}
        if not n.startswith("blocks")
        else {"params": [w], "lr": column.hidden_lr, "weight_decay": column.hidden_decay, "eps": column.block_eps}
        for n, w in weights.items()
    ]
    theirs = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    ours = build_optimizer(model, rules, OptimizerConfig(lr=ETA, weight_decay=ETA * LAMBDA, beta2=0.95, eps=EPS))
    rows = torch.randint(SHAPE.vocab, (4, SHAPE.context + 1), generator=torch.Generator().manual_seed(3))
    batch, rotation = Batch(rows[:, :-1], rows[:, 1:]), (model.cos_TC, model.sin_TC)
    losses = []
    for _ in range(12):
        found = logits(weights, batch.inputs, column, rotation)
        assert torch.allclose(model(batch), found, rtol=1e-7, atol=1e-10)
        loss = F.cross_entropy(found.flatten(0, 1), batch.targets.flatten())
        for optimizer, one in ((theirs, loss), (ours, batch_loss(model, batch))):
            optimizer.zero_grad()
            one.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.01, "it must have learnt something for the comparison to mean anything"
