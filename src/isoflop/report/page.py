"""The study's page: `report.html`, one file that needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from isoflop.files import write_text
from isoflop.fitting.result import LEVEL
from isoflop.report import loss_figures, palette, run_figures, wording
from isoflop.report.adaptation_page import write_adaptation_report
from isoflop.report.adaptation_records import is_adaptation_study
from isoflop.report.isoflop_figures import isoflop_figures
from isoflop.report.mathml import mathml
from isoflop.report.points import Figure
from isoflop.report.provenance import provenance, run_rows
from isoflop.report.records import Study, read_study
from isoflop.report.relations import relations
from isoflop.report.verdict import facts, fit_sentences, loss_at_digits, parameter_rows, ruler, sentence, trust


def write_report(study_folder: Path) -> Path:
    """Write `report.html` of the study in `study_folder` from its records alone, and return its path.

    Raises `UserError` where a record is missing or damaged, and where the page can't be written.
    """
    if is_adaptation_study(study_folder):
        return write_adaptation_report(study_folder)
    study = read_study(study_folder)
    path = study_folder / "report.html"
    write_text(path, render(study))
    return path


def render(study: Study) -> str:
    """The page as HTML, with style, script, data and Plotly inside it."""
    import jinja2
    from plotly.offline import get_plotlyjs

    room = resources.files("isoflop.report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["count"] = wording.count
    environment.filters["unbroken"] = wording.unbroken
    environment.filters["loss"] = loss_at_digits
    template = environment.from_string(room.joinpath("page.html.j2").read_text(encoding="utf-8"))
    inline = {name: room.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")}
    looks = palette.looks([run.params for run in study.ladder])
    figures = _figures(study, looks)
    return template.render(
        style=palette.style_sheet() + inline["page.css"],
        script=inline["page.js"],
        plotly=get_plotlyjs(),
        figures=figures,
        data=_script_json({key: figure.spec for key, figure in figures.items()}),
        looks=list(looks.values()),
        study=study,
        sentence=sentence(study),
        ruler=ruler(study),
        trust=trust(study),
        facts=facts(study),
        level=f"{100 * LEVEL:.0f}",
        formula=mathml(study.fit.law.formula),
        relations=relations(study),
        residuals=run_figures.residual_sentence(study),
        parameters=parameter_rows(study),
        fitted=fit_sentences(study),
        rows=run_rows(study),
        provenance=provenance(study),
    )


def _figures(study: Study, looks: Mapping[int, palette.Look]) -> dict[str, Figure]:
    of_params, of_tokens = run_figures.residual_figures(study, looks)
    return {
        "loss-params": loss_figures.against_params(study, looks),
        "loss-tokens": loss_figures.against_tokens(study, looks),
        "loss-compute": loss_figures.against_compute(study, looks),
        **dict(zip(("isoflop", "frontier"), isoflop_figures(study, looks), strict=False)),
        "time": run_figures.time_figure(study, looks),
        "residuals-params": of_params,
        "residuals-tokens": of_tokens,
        "curves": run_figures.curves_figure(study, looks),
    }


def _script_json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it closes the element or opens a comment."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
