"""One run over many devices: applied to a plain model from outside, and equal to one device."""

from isoflop.parallel.apply import parallelize, weights_on_meta
from isoflop.parallel.checkpoints import Checkpoints
from isoflop.parallel.groups import Groups, make_groups, processes
from isoflop.parallel.mesh import Mesh, Method, check_mesh
from isoflop.parallel.parallelized import Parallelized

__all__ = [
    "Checkpoints",
    "Groups",
    "Mesh",
    "Method",
    "Parallelized",
    "check_mesh",
    "make_groups",
    "parallelize",
    "processes",
    "weights_on_meta",
]
