"""Two pictures: the coordinate check (flat is right), and the transfer of the best learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoflop.errors import UserError
from isoflop.files import atomic_write
from isoflop.report.palette import LIGHT, Look, looks
from isoflop.report.picture import FORMATS, MARKERS, STYLE
from isoflop.study.coordinates import LAST, By, Check, Kind, Trace
from isoflop.study.transfer import Line, Transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {"sp": "SP", "mup": "μP", "u-mup": "u-μP", "completep": "CompleteP"}
COLOURS = {"sp": LIGHT["target"], "mup": LIGHT["size-1"], "u-mup": LIGHT["size-5"], "completep": LIGHT["size-3"]}
LETTERS = {"sp": "X", "mup": "s", "u-mup": "o", "completep": "^"}
BYS: tuple[By, By] = ("width", "depth")
PANELS: tuple[tuple[str, Kind, str], ...] = (
    (LAST, "size", "residual stream, before training"),
    (LAST, "change", "change in the stream"),
    ("logits", "change", "change in the logits"),
)
LOWEST, HIGHEST = 2.0**-2.5, 2.0**4.5
"""What of the relative sizes is shown; a line that leaves the panel says how far it goes."""


def coordinate_figure(check: Check, path: Path) -> Path:
    """Draw the check to `path` (.svg, .png or .pdf): root mean squares relative to the smallest model's."""
    with _figure(path, (9.2, 5.6)) as figure:
        grid = figure.subplots(2, len(PANELS), sharey=True, squeeze=False)
        for row, by in zip(grid, BYS, strict=True):
            for axes, (what, kind, title) in zip(row, PANELS, strict=True):
                found = [one for one in check.traces if (one.by, one.what, one.kind) == (by, what, kind)]
                _relative(axes, found, tolerance=check.config.tolerance)
                axes.set_title(title, fontsize=10)
                axes.set_xlabel("width" if by == "width" else "depth, layers")
            row[0].set_ylabel("RMS / RMS of the smallest")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        steps = check.config.steps
        figure.suptitle(f"Sizes of activations and of what {steps} steps change in them: flat is right", fontsize=12)
    return path


def _relative(axes: Axes, traces: Sequence[Trace], *, tolerance: float) -> None:
    """Lines relative to their first point, over the band of slopes that pass."""
    sizes = sorted({size for trace in traces for size in trace.sizes})
    low, high = min(trace.expected[0] for trace in traces), max(trace.expected[1] for trace in traces)
    below, above = ([(size / sizes[0]) ** slope for size in sizes] for slope in (low - tolerance, high + tolerance))
    axes.fill_between(sizes, below, above, color=LIGHT["grid"], linewidth=0, label="passes")
    for trace in traces:
        name = trace.parametrization
        relative = [value / trace.values[0] for value in trace.values]
        drawn: dict[str, Any] = {"color": COLOURS[name], "marker": LETTERS[name], "markersize": 5, "linewidth": 1.6}
        axes.plot(trace.sizes, relative, label=TITLES[name], **drawn)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_ylim(LOWEST, HIGHEST)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}")
    axes.minorticks_off()
    _say_what_leaves(axes, traces)


def _say_what_leaves(axes: Axes, traces: Sequence[Trace]) -> None:
    leaving = {trace: trace.values[-1] / trace.values[0] for trace in traces}
    texts = [f"{TITLES[trace.parametrization]} ×{most:,.0f}" for trace, most in leaving.items() if not most <= HIGHEST]
    if texts:
        place: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": 8, "color": LIGHT["quiet"]}
        axes.text(0.03, 0.97, "leaves: " + ", ".join(texts), transform=axes.transAxes, **place)


def transfer_figure(transfer: Transfer, path: Path) -> Path:
    """Draw loss against learning rate to `path` (.svg, .png or .pdf): a line for each size, its best rate marked."""
    config = transfer.config
    names = config.parametrizations
    rows = [by for by in BYS if len(config.widths if by == "width" else config.depths) > 1]
    with _figure(path, (2.6 * len(names) + 1.6, 2.9 * len(rows) + 0.6)) as figure:
        grid = figure.subplots(len(rows), len(names), sharey="row", squeeze=False)
        for row, by in zip(grid, rows, strict=True):
            for axes, name in zip(row, names, strict=True):
                _sweep(axes, transfer.of(name, by=by), by)
                axes.set_title(f"{TITLES[name]}: best moves ×{2 ** transfer.move(name, by=by):.1f}", fontsize=10)
            row[0].set_ylim(*loss_limits(transfer, by))
            row[0].set_ylabel("validation loss, nats per token")
            row[-1].legend(title=by, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
        figure.supxlabel("learning rate η (stars: best rates)", fontsize=10, color=LIGHT["quiet"])
    return path


def loss_limits(transfer: Transfer, by: str) -> tuple[float, float]:
    """What of the losses a row shows, whose panels share it: every best one, and half a nat above them."""
    best = [line.loss for name in transfer.config.parametrizations for line in transfer.of(name, by=by)]
    return min(best) - 0.05, max(best) + 0.5


def _sweep(axes: Axes, lines: Sequence[Line], by: By) -> None:
    sizes = [line.width if by == "width" else line.layers for line in lines]
    of_size = looks(sizes)
    for line, size in zip(lines, sizes, strict=True):
        _curve(axes, line, of_size[size])
    axes.set_xscale("log", base=2)
    axes.minorticks_off()


def _curve(axes: Axes, line: Line, look: Look) -> None:
    rates, losses = zip(*((rate, loss) for rate, loss in line.losses.items() if loss is not None), strict=True)
    colour = LIGHT[look.colour]
    label = str(look.params)
    axes.plot(rates, losses, color=colour, marker=MARKERS[look.symbol], markersize=3.5, linewidth=1.4, label=label)
    axes.plot([line.best], [line.loss], color=colour, marker="*", markersize=12, markeredgecolor=LIGHT["card"])


@contextmanager
def _figure(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """An empty figure in the house style, saved to `path` when it has been drawn."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path} ends in {path.suffix or 'nothing'}: name a file that ends in {', '.join(FORMATS)}.")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        stamp = {"Date": None} if path.suffix.lower() == ".svg" else {}
        with atomic_write(path) as handle:
            figure.savefig(handle, format=path.suffix[1:].lower(), dpi=200, metadata=stamp)
