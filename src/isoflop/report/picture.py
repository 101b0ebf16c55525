"""The study as one picture, for a README or a paper: loss against compute, the law, and the target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isoflop.errors import UserError
from isoflop.files import atomic_write
from isoflop.report import wording
from isoflop.report.adaptation_picture import draw_adaptation
from isoflop.report.adaptation_records import is_adaptation_study, read_adaptation_study
from isoflop.report.fitted import band
from isoflop.report.palette import LIGHT, Look, looks
from isoflop.report.points import ladder_by_size, loss_axis, loss_of, powers_of_ten, span, spread
from isoflop.report.records import Study, Verdict, read_study
from isoflop.report.verdict import sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "pentagon": "p",
    "cross": "P",
    "hexagram": "*",
}
"""Matplotlib's letters for the page's markers."""
MOST_RATIO = 200
"""An axis up to this long has room for ticks at 1, 2 and 5."""
FORMATS = (".svg", ".png", ".pdf")
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": LIGHT["rule"],
    "axes.facecolor": LIGHT["card"],
    "figure.facecolor": LIGHT["card"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["grid"],
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["quiet"],
    "xtick.color": LIGHT["quiet"],
    "ytick.color": LIGHT["quiet"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "isoflop",
}
"""The salt makes the same study give the same file, byte for byte."""


def study_figure(study_folder: Path, path: Path) -> Path:
    """Draw the study in `study_folder` as one picture to `path` (.svg, .png or .pdf), and return it.

    Raises `UserError` where a record is missing or damaged, or the ending is none of the three.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path} ends in {path.suffix or 'nothing'}: name a file that ends in {', '.join(FORMATS)}.")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 4.6), layout="constrained")
        if is_adaptation_study(study_folder):
            draw_adaptation(figure, read_adaptation_study(study_folder))
        else:
            _draw_ladder(figure, read_study(study_folder))
        stamp = {"Date": None} if path.suffix.lower() == ".svg" else {}
        with atomic_write(path) as handle:
            figure.savefig(handle, format=path.suffix[1:].lower(), dpi=200, metadata=stamp)
    return path


def _draw_ladder(figure: Figure, study: Study) -> None:
    axes = figure.add_subplot()
    _draw(axes, study)
    axes.set_title(sentence(study), loc="left", fontweight="bold", fontsize=11, pad=12)


def _draw(axes: Axes, study: Study) -> None:
    from matplotlib.ticker import LogLocator

    of_size = looks([run.params for run in study.ladder])
    ends = span(study, "flops")
    for look, runs in ladder_by_size(study, of_size):
        flops = [run.flops for run in runs]
        _law(axes, study, look, ends=(max(ends[0], min(flops) / 2), min(ends[1], max(flops) * 2)))
        axes.scatter(
            flops,
            [loss_of(run) for run in runs],
            color=LIGHT[look.colour],
            marker=MARKERS[look.symbol],
            edgecolor=LIGHT["card"],
            s=48,
            zorder=3,
            label=f"N = {wording.count(look.params)}",
        )
    if study.verdict is not None:
        _target(axes, study, study.verdict, end=ends[1])
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(*loss_axis(study)["range"])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ends[1] / ends[0] < MOST_RATIO else (1,)))
    axes.xaxis.set_major_formatter(lambda value, _: powers_of_ten(value))
    axes.minorticks_off()
    axes.set_xlabel("training compute C = 6ND, FLOPs")
    axes.set_ylabel("validation loss, nats per token")
    axes.legend(frameon=False, fontsize=9, labelcolor=LIGHT["ink"])


def _law(axes: Axes, study: Study, look: Look, *, ends: tuple[float, float]) -> None:
    C = spread(ends, 60)
    curve = band(study.fit, N=look.params, D=C / (6 * look.params))
    colour = LIGHT[look.colour]
    axes.fill_between(C, curve.low, curve.high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(C, curve.value, color=colour, linewidth=1.4)


def _target(axes: Axes, study: Study, verdict: Verdict, *, end: float) -> None:
    guess = verdict.predicted
    _law(axes, study, Look(verdict.params, "target", "star"), ends=(verdict.flops / 3, end))
    whiskers = np.array([[guess.value - guess.low], [guess.high - guess.value]])
    drawn: dict[str, Any] = {"color": LIGHT["target"], "markerfacecolor": "none", "markersize": 11, "capsize": 5}
    named = f"target N = {wording.count(verdict.params)}, predicted"
    axes.errorbar([verdict.flops], [guess.value], yerr=whiskers, fmt="D", zorder=4, label=named, **drawn)
    if study.targets:
        losses, errors = zip(*((loss_of(run), run.loss_se or 0.0) for run in study.targets), strict=True)
        same_place = [verdict.flops] * len(losses)
        axes.errorbar(same_place, losses, yerr=errors, fmt="*", zorder=5, label="measured", color=LIGHT["ink"])
