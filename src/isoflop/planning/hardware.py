"""Devices to train on: peak by precision, memory, bandwidths, power and a typical price, each with its source.

Peaks are dense. `reached` is what large matrix products were measured to reach, which for recent devices is well below
the peak as their power limits their clock. Prices are on-demand list prices of one seller on one day: a default to be
replaced by your own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from isoflop.errors import UserError

Precision = Literal["fp32", "bf16", "fp8"]

GIB = 2**30
TERA = 1e12
GIGA = 1e9
USUALLY_REACHED = 0.75
"""Share of the peak, where nobody in the sources below measured it: about the middle of what they did measure."""


@dataclass(frozen=True)
class Price:
    """US dollars for an hour of one device, whose price, and the day that it was read."""

    usd_per_hour: float
    read: str
    source: str


@dataclass(frozen=True)
class Hardware:
    """One device and how it is wired.

    `peak` is dense FLOPs per second by precision, `reached` what large matrix products were measured to reach of it,
    `memory` bytes, `memory_bandwidth` bytes per second. `node_bandwidth` is what a device can send to the `node_size`
    devices of its node (or pod), `network_bandwidth` what it can send beyond: bytes per second, one direction.
    `watts` is the maximum of the board, None where the maker does not publish it.
    """

    name: str
    peak: Mapping[str, float]
    reached: Mapping[str, float]
    memory: float
    memory_bandwidth: float
    node_size: int
    node_bandwidth: float
    network_bandwidth: float
    watts: float | None
    price: Price
    source: str
    usual: Precision = "bf16"
    """The precision that programs train in there unless told otherwise."""

    def flops_per_second(self, precision: Precision) -> float:
        """FLOPs per second of a large matrix product. Raises `UserError` where the device lacks the precision."""
        return self.reached.get(precision, USUALLY_REACHED * self.peak_flops(precision))

    def peak_flops(self, precision: Precision) -> float:
        """Peak FLOPs per second. Raises `UserError` where the device does not know the precision."""
        if precision not in self.peak:
            raise UserError(f"{self.name} has no {precision}: choose {' or '.join(self.peak)}.")
        return self.peak[precision]


def hardware(name: str) -> Hardware:
    """The device of that name. Raises `UserError`, with the nearest names, for one not known."""
    key = re.sub(r"[\s_-]", "", name.lower())
    if key not in DEVICES:
        near = difflib.get_close_matches(key, DEVICES, n=3, cutoff=0.4)
        known = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(DEVICES)}."
        raise UserError(f"No device is called {name!r}: {known}")
    return DEVICES[key]


def parse_devices(text: str) -> tuple[int, Hardware]:
    """Read `64xh100` (or `h100`, one of it). Raises `UserError` for anything else."""
    match = re.fullmatch(r"(?:(\d+)\s*[x×*]\s*)?([A-Za-z][\w .-]*)", text.strip())
    if match is None or match.group(1) == "0":
        raise UserError(f"{text!r} does not name devices: write their number and name, as in 64xh100.")
    return int(match.group(1) or 1), hardware(match.group(2))


_BEKMAN = "S. Bekman, Machine Learning Engineering, github.com/stas00/ml-engineering, 2026-08-22: accelerator, network"
_SEMIANALYSIS = (
    _BEKMAN + "; reached: SemiAnalysis, MI300X vs H100 vs H200, 2024-12-22, from memory and not verified; "
    "Bekman measured 794.5 in bf16 at the best shape of an H100, 781.9 of an MI300X"
)
_HOPPER = {"bf16": 720 * TERA, "fp8": 1280 * TERA}
_LAMBDA = "lambda.ai/instances, 8 devices"
_GOOGLE = "Google Cloud Billing Catalog, us-central1, on demand, a chip"


def _device(
    name: str, rates: dict[str, float], memory: tuple[float, float], links: tuple[int, float, float]
) -> Hardware:
    """A device of teraFLOPs per second, (GiB, TB/s), (node size, GB/s within, GB/s beyond); the rest is set below."""
    return Hardware(
        name=name,
        peak={precision: rate * TERA for precision, rate in rates.items()},
        reached={},
        memory=memory[0] * GIB,
        memory_bandwidth=memory[1] * TERA,
        node_size=links[0],
        node_bandwidth=links[1] * GIGA,
        network_bandwidth=links[2] * GIGA,
        watts=None,
        price=Price(0.0, "", ""),
        source=_BEKMAN,
    )


DEVICES: Mapping[str, Hardware] = {
    one.name: one
    for one in (
        replace(
            _device("a100", {"fp32": 19.5, "bf16": 312}, (80, 2.0), (8, 300, 25)),
            reached={"bf16": 271.2 * TERA},
            watts=400,
            price=Price(2.79, "2026-09-20", _LAMBDA),
        ),
        replace(
            _device("h100", {"fp32": 67, "bf16": 989, "fp8": 1979}, (80, 3.35), (8, 450, 50)),
            reached=_HOPPER,
            watts=700,
            source=_SEMIANALYSIS,
            price=Price(3.99, "2026-09-20", _LAMBDA),
        ),
        replace(
            _device("h200", {"fp32": 67, "bf16": 989, "fp8": 1979}, (141, 4.8), (8, 450, 50)),
            reached=_HOPPER,
            watts=700,
            source=_SEMIANALYSIS,
            price=Price(3.99, "2026-08-26", "hyperstack.cloud/gpu-pricing"),
        ),
        replace(
            _device("b200", {"fp32": 80, "bf16": 2250, "fp8": 4500}, (180, 8.0), (8, 900, 50)),
            reached={"bf16": 1745 * TERA, "fp8": 3432 * TERA},
            watts=1000,
            price=Price(6.69, "2026-09-20", _LAMBDA),
        ),
        replace(
            _device("gb200", {"fp32": 80, "bf16": 2500, "fp8": 5000}, (186, 8.0), (72, 900, 50)),
            reached={"bf16": 1822 * TERA, "fp8": 3616 * TERA},
            watts=1200,
            price=Price(10.50, "2026-09-20", "coreweave.com/pricing, 42.00 for 4"),
        ),
        replace(
            _device("mi300x", {"fp32": 163.4, "bf16": 1307, "fp8": 2615}, (192, 5.3), (8, 448, 50)),
            reached={"bf16": 620 * TERA, "fp8": 990 * TERA},
            source=_SEMIANALYSIS,
            watts=750,
            price=Price(2.59, "2026-10-08", "DigitalOcean list price"),
        ),
        replace(
            _device("tpuv4", {"bf16": 275}, (32, 1.228), (4096, 150, 6.25)),
            watts=192,
            price=Price(3.22, "2026-08-24", _GOOGLE),
            source="Jouppi et al. 2023, arXiv 2304.01433, table 4; cloud.google.com/tpu/docs/v4",
        ),
        replace(
            _device("tpuv5p", {"bf16": 459}, (95, 2.765), (8960, 300, 6.25)),
            price=Price(4.20, "2026-08-24", _GOOGLE),
            source="cloud.google.com/tpu/docs/v5p: 4800 Gbps between chips, one direction taken as half",
        ),
        replace(
            _device("tpuv6e", {"bf16": 918}, (32, 1.638), (256, 400, 12.5)),
            price=Price(2.70, "2026-08-24", _GOOGLE),
            source="docs.cloud.google.com/tpu/docs/v6e: 800 GB/s between chips in both directions, taken as 400 in one",
        ),
        replace(
            _device("rtx4090", {"fp32": 82.6, "bf16": 165.2, "fp8": 330.3}, (24, 1.008), (8, 32, 12.5)),
            watts=450,
            price=Price(0.29, "2026-09-20", "openrelay.inc/pricing"),
            source="NVIDIA Ada architecture white paper, appendix A (32-bit accumulation); PCIe 4 x16 within a machine",
        ),
        replace(
            _device("cpu", {"fp32": 0.114, "bf16": 0.26}, (4, 0.01), (2, 10, 1.25)),
            reached={"fp32": 0.091 * TERA, "bf16": 0.21 * TERA},
            watts=5,
            usual="fp32",
            price=Price(0.05, "2026-09-20", "lambda.ai/instances, 4 cores for 0.20"),
            source="one core of a server CPU with AVX-512: 91 GFLOP/s of 32-bit matrix product measured on an AMD EPYC",
        ),
    )
}
"""Every device known here, by name."""
