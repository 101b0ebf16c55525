"""The page of a study of fine-tunings: `report.html`, one file that needs nothing beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path

from isoflop.files import write_text
from isoflop.fitting.result import LEVEL
from isoflop.report import palette, wording
from isoflop.report.adaptation_figures import adaptation_figures, looks_of, title_of
from isoflop.report.adaptation_records import FLOOR, AdaptationStudy, Answer, Cell, Guess, Law, read_adaptation_study
from isoflop.report.mathml import mathml
from isoflop.report.verdict import Fact

UNBROKEN_HYPHEN = "\u2011"


def write_adaptation_report(folder: Path) -> Path:
    """Write `report.html` of the study of fine-tunings in `folder` from its records alone, and return its path.

    Raises `UserError` where a record is missing or damaged.
    """
    study = read_adaptation_study(folder)
    write_text(folder / "report.html", render_adaptation(study))
    return folder / "report.html"


def render_adaptation(study: AdaptationStudy) -> str:
    """The page as HTML, with style, script, data and Plotly inside it."""
    import jinja2
    from plotly.offline import get_plotlyjs

    room = resources.files("isoflop.report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["unbroken"] = wording.unbroken
    template = environment.from_string(room.joinpath("adaptation.html.j2").read_text(encoding="utf-8"))
    inline = {name: room.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")}
    figures = adaptation_figures(study)
    data = json.dumps({key: figure.spec for key, figure in figures.items()}, allow_nan=False).replace("<", "\\u003c")
    return template.render(
        style=palette.style_sheet() + inline["page.css"],
        script=inline["page.js"],
        plotly=get_plotlyjs(),
        study=study,
        sentence=headline(study),
        facts=_facts(study),
        answers=[(name_of(one), one.sentence) for one in study.answers],
        trade=[(title_of(method), sentences) for method, sentences in study.trade.items()],
        guesses=[_guess_row(one) for one in study.guesses],
        figures=figures,
        looks=looks_of(study),
        data=data,
        laws=[_law_row(one) for one in study.laws],
        doubts=doubts_of(study),
        cells=[_cell_row(one) for one in study.cells],
        level=f"{100 * LEVEL:.0f}",
    )


def headline(study: AdaptationStudy) -> str:
    """What the best model and method come to, and what the next point costs there."""
    if not study.largest:
        return f"No fine-tuning with {study.labels:,} labels was measured"
    best = best_of(study)
    answer = next(one for one in study.answers if (one.method, one.model) == best)
    mine = [cell.accuracy for cell in study.largest if (cell.method, cell.model) == best]
    floors = [cell.floor for cell in study.largest if cell.floor is not None]
    beside = f" (floor {sum(floors) / len(floors):.3f})" if floors else ""
    cannot = "what the next point costs can’t be said yet"
    price = cannot if answer.sentence.startswith("cannot say") else f"the next point costs {answer.sentence}"
    return f"{best[1]}: {sum(mine) / len(mine):.3f} at {study.labels:,} labels{beside}; {price}"


def best_of(study: AdaptationStudy) -> tuple[str, str]:
    """The method and model with the best mean accuracy at the largest subset."""
    of_pair: dict[tuple[str, str], list[float]] = {}
    for cell in study.largest:
        of_pair.setdefault((cell.method, cell.model), []).append(cell.accuracy)
    return max(of_pair, key=lambda pair: sum(of_pair[pair]) / len(of_pair[pair]))


def name_of(one: Answer | Guess) -> str:
    """Model and method of a row."""
    return "the floor" if one.method == FLOOR else f"{one.model}, {title_of(one.method).lower()}"


def _facts(study: AdaptationStudy) -> list[Fact]:
    sizes = sorted({cell.labels for cell in study.cells})
    seeds = len({cell.seed for cell in study.cells})
    inside = sum(bool(guess.inside) for guess in study.guesses)
    compared = sum(guess.measured is not None for guess in study.guesses)
    try:
        ahead = (datetime.fromisoformat(study.started_at) - datetime.fromisoformat(study.written_at)).total_seconds()
        order = f"{abs(ahead):.3g} s {'before' if ahead >= 0 else 'AFTER'} the largest cells started"
    except (TypeError, ValueError):
        order = f"largest cells started {study.started_at}"
    counts = ((len(study.models), "model"), (len(study.methods), "method"), (len(sizes), "size"), (seeds, "seed"))
    told = " × ".join(wording.plural(count, thing) for count, thing in counts)
    return [
        Fact("Fine-tunings", str(len(study.cells)), told),
        Fact("Labels", f"{sizes[0]:,} to {sizes[-1]:,}", f"nested, stratified; accuracy is that on {study.judged}"),
        Fact("Predictions that held", f"{inside} of {compared}", f"of {LEVEL:.0%} intervals, written {order}"),
        Fact("Whole study", wording.duration(study.seconds), f"prediction written {wording.moment(study.written_at)}"),
    ]


def _guess_row(guess: Guess) -> tuple[str, str, str, str]:
    measured = "not measured" if guess.measured is None else f"{guess.measured:.3f}"
    held = {None: "", True: "inside", False: "outside"}[guess.inside]
    return name_of(guess), wording.interval(guess.predicted, least=3), measured, held


@dataclass(frozen=True)
class LawRow:
    """One fitted law, written out."""

    name: str
    target: str
    formula: str
    parameters: str


def _law_row(law: Law) -> LawRow:
    name = f"{title_of(law.method) if law.method != FLOOR else 'The floor'}: {law.law}"
    target = "error" if law.target == "error" else "loss, nats per label"
    if law.fit is None:
        return LawRow(name, target, "", f"not fitted: {law.why_not}")
    found = [
        f"{wording.symbol(key).replace('-', UNBROKEN_HYPHEN)} = {wording.interval(one, least=2, figures=2)}"
        for key, one in law.fit.parameters.items()
    ]
    return LawRow(
        name,
        target,
        mathml(law.fit.law.formula, of=law.target),
        "; ".join(found),
    )


def doubts_of(study: AdaptationStudy) -> list[str]:
    """What the laws of the error say against themselves, by law."""
    said = []
    for law in study.laws:
        if law.target != "error":
            continue
        where = f"{'the floor' if law.method == FLOOR else law.method}, {law.law}"
        if law.fit is None:
            said.append(f"{where}: not fitted: {law.why_not}")
            continue
        quiet = ("converged", "duplicates", "reading")
        said += [f"{where}: {one.message}" for one in law.fit.status if one.code not in quiet]
    return [*study.not_predicted, *said]


def _cell_row(cell: Cell) -> tuple[str, ...]:
    flops = "" if cell.pretraining_flops is None else wording.power(cell.pretraining_flops)
    floor = "" if cell.floor is None else f"{cell.floor:.4f}"
    return (
        cell.run, title_of(cell.method), f"{cell.labels:,}", str(cell.seed), wording.count(cell.params), flops,
        f"{cell.accuracy:.4f}", floor, f"{cell.nats:.4f}", wording.duration(cell.seconds),
    )  # fmt: skip
