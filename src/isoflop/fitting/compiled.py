"""The kernel of `isoflop.fitting.evaluation` compiled for one law by numba, kept on disk between processes.

Its source is generated from the law's checked formula. Each run is visited once per point, several in one instruction,
and nothing of the size of runs times draws is ever stored.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from isoflop.files import write_text
from isoflop.fitting.evaluation import Batch, Raw
from isoflop.fitting.problem import Array, Indices, Problem
from isoflop.laws import Law
from isoflop.laws.program import source_of
from isoflop.laws.statements import cache_folder

VERSION = 1
_MATRIX, _CUBE = "f8[:,::1]", "f8[:,:,::1]"
_INPUTS = f"{_MATRIX},i8[:,::1],{_MATRIX},{_MATRIX},{_MATRIX},i8[::1],f8,f8"
_SIGNATURE = f"void({_INPUTS},f8[::1],{_MATRIX},{_CUBE},{_CUBE})"
_HEADER = '''"""Generated from a law's formula; rewritten whenever it differs from what the formula gives."""
from math import sqrt

from isoflop.fitting.vector_math import absolute, exp, log, maximum, minimum, sigmoid, sign, step, tanh


'''


def compiled_kernel(batch: Batch, values: Array, which: Indices, delta: float) -> Raw:
    """`Kernel` by compiled code: the same sums as `numpy_kernel`, to rounding."""
    problem = batch.problem
    size, total = len(values), len(problem.names)
    value, gradient = np.zeros(size), np.zeros((size, total))
    hessian, majorant = np.zeros((size, total, total)), np.zeros((size, total, total))
    function = _function(problem.law, problem.space, _grouped(problem))
    places = np.zeros((len(problem.place), max(len(place) for place in problem.place)), dtype=np.intp)
    for row, place in zip(places, problem.place, strict=True):
        row[:] = place
    function(
        np.ascontiguousarray(values),
        places,
        problem.stacked,
        np.ascontiguousarray(batch.targets),
        np.ascontiguousarray(batch.weights),
        which,
        delta,
        problem.penalty.above,
        value,
        gradient,
        hessian,
        majorant,
    )
    return value, gradient, hessian, majorant


def numba_is_there() -> bool:
    """Whether numba can be imported (ISOFLOP_NO_NUMBA says that it is not to be)."""
    return not os.environ.get("ISOFLOP_NO_NUMBA") and importlib.util.find_spec("numba") is not None


def can_compile(problem: Problem) -> bool:
    """Compile the kernel, or fetch it; False where numba is there but broken (its parts fail in many ways)."""
    try:
        _function(problem.law, problem.space, _grouped(problem))
    except Exception:
        return False
    return True


def _grouped(problem: Problem) -> tuple[bool, ...]:
    return tuple(len(place) > 1 for place in problem.place)


@lru_cache(maxsize=64)
def _function(law: Law, space: str, grouped: tuple[bool, ...]) -> Callable[..., None]:
    source = _source(law, space, grouped)
    path = _path(source)
    try:
        if not path.is_file() or path.read_text(encoding="utf-8") != source:
            write_text(path, source)
        return _compiled(_module(path), keep=True)
    except Exception:  # no place to keep it, or what is kept is damaged: compiled for this process alone
        module = ModuleType("isoflop_kernel")
        exec(compile(source, "<law>", "exec"), module.__dict__)
        return _compiled(module, keep=False)


def _path(source: str) -> Path:
    key = hashlib.sha256(f"{VERSION}|{source}".encode()).hexdigest()[:24]
    return cache_folder() / "kernels" / f"k{key}.py"


def _module(path: Path) -> ModuleType:
    """The source as a module of its own: numba finds what it kept by the module's name and file."""
    name = f"isoflop_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _compiled(module: ModuleType, *, keep: bool) -> Callable[..., None]:
    from numba import njit

    decorate = njit(_SIGNATURE, cache=keep, error_model="numpy", fastmath={"contract", "reassoc"})
    compiled: Callable[..., None] = decorate(module.__dict__["accumulate"])
    return compiled


@lru_cache(maxsize=64)
def _source(law: Law, space: str, grouped: tuple[bool, ...]) -> str:
    """Python source of the accumulation for one law, space and pattern of indexed parameters."""
    found, count = law.derivatives, len(law.names)
    pairs = [(j, k) for j in range(count) for k in range(j + 1)]
    second = {(i, j): source_of(node) for i, j, node in found.hessian}
    loop = [f"p{j} = values[b, places[{j}, i]]" for j in range(count) if grouped[j]]
    for variable in range(len(law.variables)):
        loop += [f"v{variable} = columns[{2 * variable}, i]", f"l{variable} = columns[{2 * variable + 1}, i]"]
    loop += [f"{name} = {source_of(node)}" for name, node in found.lets]
    loop += [f"law = {source_of(found.value)}", *_residual(space)]
    loop += [f"g{j} = {source_of(node)}" for j, node in enumerate(found.gradient)]
    for j in range(count):
        loop.append(f"{_vector(j, grouped)} += pull * g{j}")
    for j, k in pairs:
        extra = f" + pull * ({second[j, k]})" if (j, k) in second else ""
        loop.append(f"square = g{j} * g{k}")
        loop.append(f"{_matrix('h', j, k, grouped)} += bend * square{extra}")
        loop.append(f"{_matrix('m', j, k, grouped)} += lift * square")
    single = [j for j in range(count) if not grouped[j]]
    single_pairs = [(j, k) for j, k in pairs if not grouped[j] and not grouped[k]]
    before = [f"p{j} = values[b, places[{j}, 0]]" for j in single]
    before += [f"s{j} = 0.0" for j in single]
    before += [f"{kind}{j}_{k} = 0.0" for j, k in single_pairs for kind in "hm"]
    after = [f"gradient[b, places[{j}, 0]] += s{j}" for j in single]
    for j, k in single_pairs:
        for kind, name in (("h", "hessian"), ("m", "majorant")):
            after.append(f"{name}[b, places[{j}, 0], places[{k}, 0]] += {kind}{j}_{k}")
    return _HEADER + _ACCUMULATE.format(
        before=_indented(before, 8), loop=_indented(loop, 12), after=_indented(after, 8)
    )


_ACCUMULATE = """def accumulate(
    values, places, columns, targets, weights, which, delta, above, value, gradient, hessian, majorant
):
    for b in range(values.shape[0]):
        target = targets[which[b] if targets.shape[0] > 1 else 0]
        weight = weights[which[b] if weights.shape[0] > 1 else 0]
        total = 0.0
{before}
        for i in range(columns.shape[1]):
            w = weight[i]
{loop}
        value[b] = total
{after}
        for j in range(values.shape[1]):
            for k in range(j):
                both = hessian[b, j, k] + hessian[b, k, j]
                hessian[b, j, k] = both
                hessian[b, k, j] = both
                both = majorant[b, j, k] + majorant[b, k, j]
                majorant[b, j, k] = both
                majorant[b, k, j] = both
"""


def _residual(space: str) -> Sequence[str]:
    in_log = space == "log"
    return [
        "inverse = 1.0 / law" if in_log else "inverse = 1.0",
        "r = target[i] - log(law)" if in_log else "r = target[i] - law",
        "w = w * above if r > 0.0 else w",
        "size = absolute(r)",
        "inside = size <= delta",
        "psi = r if inside else (delta if r > 0.0 else -delta)",
        "total += w * psi * (r - 0.5 * psi)",
        "pull = -w * psi * inverse",
        "curvature = (1.0 if inside else 0.0)" + (" + psi" if in_log else ""),
        "bend = w * curvature * inverse * inverse",
        "lift = w * (1.0 if inside else delta / maximum(size, 1e-300)) * inverse * inverse",
    ]


def _vector(j: int, grouped: tuple[bool, ...]) -> str:
    return f"gradient[b, places[{j}, i]]" if grouped[j] else f"s{j}"


def _matrix(kind: str, j: int, k: int, grouped: tuple[bool, ...]) -> str:
    if not grouped[j] and not grouped[k]:
        return f"{kind}{j}_{k}"
    row, column = (f"places[{one}, i]" if grouped[one] else f"places[{one}, 0]" for one in (j, k))
    return f"{'hessian' if kind == 'h' else 'majorant'}[b, {row}, {column}]"


def _indented(lines: Sequence[str], spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines)
