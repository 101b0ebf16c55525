"""A study of fine-tunings as one picture: accuracy against labels for each method, the floor in each."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from isoflop.report.adaptation_figures import accuracy_band, accuracy_range, looks_of, span_of, title_of
from isoflop.report.adaptation_page import headline
from isoflop.report.adaptation_records import FLOOR, AdaptationStudy
from isoflop.report.palette import LIGHT
from isoflop.report.points import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTERS = ("o", "s", "D", "^", "v", "p", "P", "*")
"""Matplotlib's letters for the page's markers, in the order of `palette.SYMBOLS`."""
PANEL = (4.6, 3.8)
"""Inches of a method's panel."""
LETTERS_AN_INCH = 10
"""Of a bold title of 11 points, at least."""


def draw_adaptation(figure: Figure, study: AdaptationStudy) -> None:
    """Fill `figure` with a panel for each method."""
    width = max(7.0, PANEL[0] * len(study.methods))
    figure.set_size_inches(width, PANEL[1] + 0.6)
    panels = figure.subplots(1, len(study.methods), sharey=True, squeeze=False)[0]
    for axes, method in zip(panels, study.methods, strict=True):
        _panel(axes, study, method)
    panels[0].set_ylabel(f"accuracy on {study.judged}")
    panels[0].legend(frameon=False, fontsize=9, labelcolor=LIGHT["ink"], loc="lower right")
    title = textwrap.fill(headline(study), int(width * LETTERS_AN_INCH))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)


def _panel(axes: Axes, study: AdaptationStudy, method: str) -> None:
    law, floor_law, ends = study.curve(method), study.curve(FLOOR), span_of(study)
    labels = spread((min(cell.labels for cell in study.cells), ends[1]), 60)
    for (model, look), letter in zip(looks_of(study).items(), itertools.cycle(LETTERS)):
        colour = LIGHT[look.colour]
        cells = [cell for cell in study.cells if (cell.method, cell.model) == (method, model)]
        if law is not None and cells:
            curve = accuracy_band(law, labels, model=model)
            axes.fill_between(labels, curve.low, curve.high, color=colour, alpha=0.13, linewidth=0)
            axes.plot(labels, curve.value, color=colour, linewidth=1.4)
        drawn: dict[str, Any] = {
            "color": colour,
            "marker": letter,
            "edgecolor": LIGHT["card"],
            "s": 40,
            "zorder": 3,
            "label": model,
        }
        axes.scatter([cell.labels for cell in cells], [cell.accuracy for cell in cells], **drawn)
        for guess in study.guesses:
            if (guess.method, guess.model) == (method, model):
                found = guess.predicted
                whiskers = np.array([guess.whiskers]).T
                plain: dict[str, Any] = {"fmt": "D", "markerfacecolor": "none", "markersize": 9, "capsize": 4}
                axes.errorbar([study.labels], [found.value], yerr=whiskers, color=colour, **plain)
    floors = study.floors()
    if floors:
        sizes, accuracies = zip(*floors, strict=True)
        axes.scatter(sizes, accuracies, color=LIGHT["quiet"], marker="x", s=24, label="floor", linewidth=1)
    if floor_law is not None:
        curve = accuracy_band(floor_law, labels, model=FLOOR)
        axes.plot(labels, curve.value, color=LIGHT["quiet"], linewidth=1.2, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(*accuracy_range(study))
    ticks = sorted({cell.labels for cell in study.cells})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("labels")
    axes.set_title(title_of(method), loc="left", fontsize=10)
