"""The figures of a study of fine-tunings: accuracy against labels, the floor in each; accuracy against pretraining."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

from isoflop.fitting import Fit
from isoflop.planning.labels import error_at
from isoflop.report import wording
from isoflop.report.adaptation_records import FLOOR, AdaptationStudy, Cell, Guess
from isoflop.report.fitted import Array, Band
from isoflop.report.palette import MARKER_SIZE, OTHER_SIZE, Look, looks
from isoflop.report.points import Figure, Trace, line, log_axis, powers_of_ten, reach, rounded, spread

AHEAD = 2.0
"""How many times the largest subset the curves are drawn to."""
NAMES = {"full": "All weights trained", "head": "Only the head trained", "lora": "LoRA"}


def looks_of(study: AdaptationStudy) -> dict[str, Look]:
    """How each model is drawn: hues from the least to the most pretrained."""
    of_place = looks(range(len(study.models)))
    return {name: of_place[place] for place, name in enumerate(study.models)}


def title_of(method: str) -> str:
    """A method in words."""
    return NAMES.get(method, method)


def adaptation_figures(study: AdaptationStudy) -> dict[str, Figure]:
    """A figure for each method, and where there is more than one recorded pretraining, one against its FLOPs."""
    found = {f"labels-{method}": _labels_figure(study, method) for method in study.methods}
    flops = {cell.pretraining_flops for cell in study.cells if cell.pretraining_flops}
    if len(flops) > 1:
        found["pretraining"] = _pretraining_figure(study)
    return found


def accuracy_band(law: Fit, labels: Array, *, model: str) -> Band:
    """Accuracy by the law of the error, with the law's interval."""
    error = law.predict(**error_at(law, labels=labels, model=np.full(len(labels), model)))
    return Band(1 - error.value, 1 - np.minimum(error.high, 1.0), 1 - error.low)


def span_of(study: AdaptationStudy) -> tuple[float, float]:
    """The ends of the axis of labels."""
    sizes = [cell.labels for cell in study.cells]
    return reach([min(sizes), AHEAD * max(sizes)])


def accuracy_range(study: AdaptationStudy) -> list[float]:
    """An axis that holds everything measured and predicted, the same in every figure; bands may leave it."""
    shown = [cell.accuracy for cell in study.cells] + [accuracy for _, accuracy in study.floors()]
    shown += [end for guess in study.guesses for end in (guess.predicted.low, guess.predicted.high)]
    air = 0.06 * (max(shown) - min(shown)) or 0.05
    return [max(0.0, min(shown) - air), min(1.0, max(shown) + air)]


def _labels_figure(study: AdaptationStudy, method: str) -> Figure:
    of_model, ends = looks_of(study), span_of(study)
    law, floor_law = study.curve(method), study.curve(FLOOR)
    labels = spread((min(cell.labels for cell in study.cells), ends[1]))
    traces: list[Trace] = []
    if floor_law is not None:
        traces += line(labels, accuracy_band(floor_law, labels, model=FLOOR), colour="quiet", dash="dot")
    traces += _floor_points(study)
    for model, look in of_model.items():
        cells = [cell for cell in study.cells if (cell.method, cell.model) == (method, model)]
        if law is not None and cells:
            traces += line(labels, accuracy_band(law, labels, model=model), colour=look.colour)
        traces.append(_points(cells, look))
        traces += [
            _predicted(guess, look, study) for guess in study.guesses if (guess.method, guess.model) == (method, model)
        ]
    best = max((cell for cell in study.largest if cell.method == method), key=lambda cell: cell.accuracy, default=None)
    caption = "No cell at the largest subset was measured." if best is None else _beside_the_floor(study, best)
    return Figure(
        title=title_of(method),
        above=f"accuracy on {study.judged}",
        caption=caption,
        alt=f"Accuracy against number of labels, {title_of(method).lower()}. {caption}",
        data=traces,
        layout={"xaxis": log_axis("labels", ends), "yaxis": {"range": rounded(accuracy_range(study))}},
        height=380,
    )


def _beside_the_floor(study: AdaptationStudy, best: Cell) -> str:
    floors = [accuracy for labels, accuracy in study.floors() if labels == study.labels]
    told = f"At {study.labels:,} labels {best.model} reaches {best.accuracy:.3f} at best"
    if not floors:
        return f"{told}; no floor was fitted."
    floor = math.fsum(floors) / len(floors)
    return f"{told}; the floor, in grey, {floor:.3f}. Diamonds are what was predicted there, with the interval."


def _points(cells: Sequence[Cell], look: Look) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": rounded([cell.labels for cell in cells]),
        "y": rounded([cell.accuracy for cell in cells]),
        "text": [
            f"<b>{html.escape(cell.run)}</b><br>{cell.labels:,} labels, seed {cell.seed}<br>"
            f"accuracy {cell.accuracy:.4f}, {cell.nats:.3f} nats<br>"
            + ("no floor" if cell.floor is None else f"floor {cell.floor:.4f}")
            for cell in cells
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "legendgroup": look.colour,
        "marker": {
            "color": f"@{look.colour}",
            "symbol": look.symbol,
            "size": MARKER_SIZE.get(look.symbol, OTHER_SIZE),
            "line": {"color": "@card", "width": 1},
        },
    }


def _floor_points(study: AdaptationStudy) -> list[Trace]:
    floors = study.floors()
    if not floors:
        return []
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded([labels for labels, _ in floors]),
        "y": rounded([accuracy for _, accuracy in floors]),
        "hovertemplate": "floor: TF-IDF + logistic regression<br>%{x:,} labels, accuracy %{y:.4f}<extra></extra>",
        "legendgroup": "quiet",
        "marker": {"color": "@quiet", "symbol": "x-thin-open", "size": 7},
    }
    return [points]


def _predicted(guess: Guess, look: Look, study: AdaptationStudy) -> Trace:
    found, (below, above) = guess.predicted, guess.whiskers
    return {
        "type": "scatter",
        "mode": "markers",
        "x": rounded([study.labels]),
        "y": rounded([found.value]),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": rounded([above]),
            "arrayminus": rounded([below]),
            "color": f"@{look.colour}",
            "thickness": 1.5,
            "width": 5,
        },
        "hovertemplate": f"<b>{html.escape(guess.model)}, predicted</b><br>{wording.interval(found, least=3)}"
        "<extra></extra>",
        "legendgroup": look.colour,
        "marker": {"color": f"@{look.colour}", "symbol": "diamond-open", "size": 15, "line": {"width": 2}},
    }


def _pretraining_figure(study: AdaptationStudy) -> Figure:
    of_model = looks_of(study)
    cells = [cell for cell in study.largest if cell.pretraining_flops]
    traces = []
    for method, dash in zip(study.methods, ("solid", "dash", "dot", "dashdot", "longdash"), strict=False):
        means = _means([cell for cell in cells if cell.method == method])
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+text",
                "x": rounded(list(means)),
                "y": rounded(list(means.values())),
                "text": [*[""] * (len(means) - 1), method],
                "textposition": "middle right",
                "textfont": {"color": "@ink"},
                "line": {"color": "@quiet", "width": 1.4, "dash": dash},
                "hoverinfo": "skip",
            }
        )
    for model, look in of_model.items():
        mine = [cell for cell in cells if cell.model == model]
        traces.append(_points(mine, look) | {"x": rounded([cell.pretraining_flops or math.nan for cell in mine])})
    ends = reach([cell.pretraining_flops or 1.0 for cell in cells])
    caption = f"Every cell at {study.labels:,} labels; lines join the means over seeds of each method."
    return Figure(
        title="Accuracy against pretraining compute",
        above=f"accuracy on {study.judged}",
        caption=caption,
        alt=f"Accuracy against FLOPs of pretraining. {caption}",
        data=traces,
        layout={
            "xaxis": log_axis("pretraining C = 6ND, FLOPs", (ends[0], 1.3 * ends[1]), write=powers_of_ten),
            "yaxis": {"range": rounded(accuracy_range(study))},
        },
        height=380,
    )


def _means(cells: Sequence[Cell]) -> Mapping[float, float]:
    of_flops: dict[float, list[float]] = {}
    for cell in sorted(cells, key=lambda cell: cell.pretraining_flops or 0.0):
        of_flops.setdefault(cell.pretraining_flops or 0.0, []).append(cell.accuracy)
    return {flops: math.fsum(found) / len(found) for flops, found in of_flops.items()}
