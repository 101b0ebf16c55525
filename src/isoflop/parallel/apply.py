"""`parallelize`: everything that turns a plain model into this rank's part of a divided one, in one order."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from isoflop.models import Batch, Model
from isoflop.parallel import collectives
from isoflop.parallel.context import apply_context
from isoflop.parallel.groups import Groups
from isoflop.parallel.holding import Holding, share
from isoflop.parallel.losses import Vocabulary, losses_of_logits, sequence_losses, summed_loss
from isoflop.parallel.mesh import Method, check_mesh
from isoflop.parallel.parallelized import Parallelized
from isoflop.parallel.recomputation import apply_recomputation
from isoflop.parallel.stages import LossParts, Part, build_schedule, cut_to_stage, stages_of, twin_rank
from isoflop.parallel.tensor import apply_tensor_plan, division_of, is_partial
from isoflop.shapes import ModelShape


@contextmanager
def weights_on_meta() -> Iterator[None]:
    """Within it, new modules have weights of a size but without values; position tables are real.

    So a model of any size can be laid out on every rank before any rank holds more than its part.
    """
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and parameter.device.type != "meta":  # a tied weight comes by twice
            parameter = nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def parallelize(model: Model, groups: Groups, *, method: Method, batch: int, device: str = "cpu") -> Parallelized:
    """This rank's part of `model` on the mesh of `groups`, for steps of `batch` sequences; its weights have no values.

    `model` may have its weights on meta (`weights_on_meta`); it is changed and must not be used afterwards. Give the
    weights their values with `Parallelized.fill`. Raises `UserError` where something doesn't divide.
    """
    mesh, shape = groups.mesh, model.shape
    check_mesh(mesh, method, shape=shape, batch=batch)
    sizes = {name: parameter.shape for name, parameter in model.named_parameters(remove_duplicate=False)}
    staged = mesh.pipeline > 1
    stages = stages_of(groups.pipeline.rank(), mesh, method) if staged else (0,)
    parts = [_part(copy.deepcopy(model), stage, groups=groups, method=method, device=device) for stage in stages]
    schedule = None
    if shape.tied and stages == (0, mesh.pipeline * method.chunks - 1):  # both ends of the model are here
        parts[-1].get_submodule("model.head").weight = parts[0].get_parameter("model.embedding.weight")
    if staged:
        rows = batch // mesh.data // method.micro_batches
        hidden = torch.empty(rows, shape.context // mesh.context, shape.width, device="meta", requires_grad=True)
        schedule = build_schedule(parts, stages, mesh=mesh, method=method, group=groups.pipeline, hidden=hidden)
    twins = [twin_rank(stage, shape, mesh=mesh, method=method) for stage in stages]
    found = [h for part, twin in zip(parts, twins, strict=True) for h in _holdings(part, sizes, groups, twin=twin)]
    holdings = list({id(holding.parameter): holding for holding in found}.values())
    partial = [h for h in holdings if mesh.tensor > 1 and is_partial(h.name, shape, method)]
    return Parallelized(parts, holdings, partial, groups=groups, method=method, schedule=schedule)


def _part(model: Model, stage: int, *, groups: Groups, method: Method, device: str) -> Part:
    """All that is done to the model of one stage, in order; only DDP, which needs real weights, comes later."""
    mesh, shape = groups.mesh, model.shape
    stages = mesh.pipeline * method.chunks if mesh.pipeline > 1 else 1
    if stages > 1:
        cut_to_stage(model, stage, stages=stages)
    if mesh.tensor > 1:
        apply_tensor_plan(model, shape, groups=groups, method=method)
    if mesh.context > 1:
        apply_context(model, groups=groups, method=method.context)
    for block in _blocks(model):
        apply_recomputation(block, method.recompute)
    if method.compile:
        for block in _blocks(model):
            block.forward = torch.compile(block.forward)
    part = Part(model, _loss(shape, groups, method) if stage == stages - 1 else None)
    if groups.is_sharded:
        _shard(part, groups)
    return _with_memory(part, device)


def _loss(shape: ModelShape, groups: Groups, method: Method) -> LossParts:
    tensor, own = groups.mesh.tensor, Vocabulary(0, shape.vocab)
    if tensor > 1:
        first, (_, most) = share(shape.vocab, groups.tensor.rank(), tensor)[0], share(shape.vocab, 0, tensor)
        own = Vocabulary(first, most, groups.tensor)

    def parts(model: Any, batch: Batch, by_sequence: bool) -> tuple[Tensor, Tensor | None]:
        pairs = None
        if batch.order is None:
            features_BTD = model.features(batch)
        else:
            features_BTD, pair_logits_B2 = model.features_and_pair_logits(batch)
            pairs = F.cross_entropy(pair_logits_B2, batch.order, reduction="sum")
        if tensor > 1 and not method.loss_parallel:
            return losses_of_logits(model.head(features_BTD), batch.targets), pairs
        if tensor > 1:
            features_BTD = collectives.spread(features_BTD, groups.tensor)
        given = (features_BTD, model.head, batch.targets, own)
        return sequence_losses(*given) if by_sequence else summed_loss(*given), pairs

    return parts


def _shard(part: Part, groups: Groups) -> None:
    """FSDP2: every block a unit of its own, what is left (embedding, norm and head, tied or not) together the last."""
    for block in _blocks(part):
        fully_shard(block, mesh=groups.data_mesh)
    fully_shard(part, mesh=groups.data_mesh)


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of all stacks."""
    holders = [module for name, module in model.named_modules() if name.rpartition(".")[2] == "blocks"]
    return [block for holder in holders for block in holder.children()]


def _with_memory(part: Part, device: str) -> Part:
    """Give weights on meta memory on `device`, keeping position tables and ties."""
    tables = {name: table.clone() for name, table in part.named_buffers()}
    tied = [name for name, _ in part.named_parameters(remove_duplicate=False)]
    first: dict[int, str] = {}
    ties = {name: first.setdefault(id(part.get_parameter(name)), name) for name in tied}
    part.to_empty(device=device)
    for name, same in ties.items():
        if name != same:
            owner, _, kind = name.rpartition(".")
            setattr(part.get_submodule(owner), kind, part.get_parameter(same))
    for name, table in part.named_buffers():
        table.copy_(tables[name])
    return part


def _holdings(part: Part, sizes: dict[str, torch.Size], groups: Groups, *, twin: int | None) -> Iterator[Holding]:
    shape: ModelShape = part.model.shape  # type: ignore[assignment]
    for own_name, parameter in part.model.named_parameters():
        shared = shape.tied and own_name in ("embedding.weight", "head.weight")
        name = "embedding.weight" if shared else own_name
        yield Holding(
            name=name,
            parameter=parameter,
            whole=sizes[name],
            division=division_of(name, shape) if groups.mesh.tensor > 1 else None,
            tensor_rank=groups.tensor.rank(),
            tensor_degree=groups.mesh.tensor,
            twin=twin if shared else None,
        )
