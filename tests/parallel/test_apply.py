"""A model is laid out without values, and knows nothing of the processes it is divided over."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import isoflop.models
from isoflop.models import build_model, parametrization
from isoflop.parallel import weights_on_meta
from parallel.layouts import BERT, TIED


def test_weights_on_meta_have_sizes_and_no_values_while_position_tables_are_real() -> None:
    shape = dataclasses.replace(TIED, layers=1)
    with weights_on_meta():
        model, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    real, _ = build_model(shape, parametrization("sp"), base=shape, seed=0)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in real.named_parameters()}
    assert model.head.weight is model.embedding.weight
    for name, table in real.named_buffers():
        assert (model.get_buffer(name) == table).all()


def test_new_modules_have_values_again_afterwards() -> None:
    with weights_on_meta():
        pass
    model, _ = build_model(BERT, parametrization("sp"), base=BERT, seed=0)
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_no_file_of_the_models_speaks_of_other_processes() -> None:
    folder = Path(isoflop.models.__file__).parent
    assert [path.name for path in folder.rglob("*.py") if "torch.distributed" in path.read_text()] == []
