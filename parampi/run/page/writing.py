"""Writing of the page: what it shows is gathered, put into the template, and written as one file that needs nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parampi.fields import PER_CASE
from parampi.fields.atomic_files import write_whole
from parampi.fields.ensembles.places import case_words
from parampi.report import Report
from parampi.run.artifacts import attempt
from parampi.run.inputs import Inputs
from parampi.run.page import facts
from parampi.run.page.fields_shown import Fields, fields_shown
from parampi.run.page.rank_times import LABELS, beside_serial, rank_strips
from parampi.run.page.residual_maps import heat_map

if TYPE_CHECKING:
    from parampi.run.plan import Plan


@dataclass(frozen=True)
class PageSource:
    """Source of a page: the inputs of a run, the store that wrote the ensemble, attributes of the run, and its report."""

    inputs: Inputs
    mode: str
    attributes: Mapping[str, Any]
    report: Report


def leave_page(plan: "Plan", report: Report, *, whole: bool = True) -> str:
    """Write the page of a run, where one is configured; without maps where the run is not `whole`. Return in one line why it
    could not be written, "" where it was: nothing that fails here takes anything back."""
    path = plan.config.output.files().get("page")
    if path is None:
        return ""
    source = PageSource(plan.inputs, plan.mode, plan.attributes, report)
    return attempt(lambda: write_page(path, source, fields=whole))[1]


def write_page(path: Path, source: PageSource, *, fields: bool = True) -> None:
    """Write the page. `fields`: whether maps and spectra are drawn. Raises OutputError for a file that cannot be written."""
    write_whole(path, page_text(source, fields=fields).encode("utf-8", errors="replace"))


def page_text(source: PageSource, *, fields: bool) -> str:
    """Return the page as HTML. Everything that is put into the template is escaped."""
    from jinja2 import Environment, StrictUndefined

    folder = files("parampi.run.page")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    css, *scripts = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "heat_map.js", "page.js"))
    return template.render(css=css, scripts=scripts, **contents(source, fields))


def contents(source: PageSource, fields: bool) -> dict[str, Any]:
    """Return what the template shows."""
    inputs, report, config = source.inputs, source.report, source.inputs.config
    name_of, lead_of = member_namer(inputs), lead_namer(inputs)
    members, leads = len(inputs.members), inputs.leads
    lead_times = [lead_of(lead) for lead in range(leads)] if leads > 1 else []
    residuals, notes = heat_map(report, inputs.equations.sigmas.tolist(), name_of, short_namer(inputs), lead_times)
    return {
        "title": Path(config.output.ensemble).name,
        "directory": config.output.directory,
        "version": source.attributes.get("parampi_version", ""),
        "outcome": facts.OUTCOMES[report.outcome],
        "summary": report.summary() if report.members else "No member was finished.",
        "numbers": facts.key_numbers(report, members, leads),
        "tasks": facts.tasks(report, config, members, leads, name_of),
        "heat_map": residuals | {"axis": "case / member" if inputs.conditions else "member"} if residuals else {},
        "heat_notes": notes,
        "leads": leads,
        "fields": fields_or_why(source) if fields else Fields(notes=["No maps: the run ended early."]),
        "strips": rank_strips(report),
        "kinds": LABELS,
        "bars": beside_serial(report.timing),
        "layout": facts.layout_rows(report),
        "listed": facts.member_table(report, name_of, lead_of),
        "configuration": facts.configuration(config),
        "provenance": facts.provenance(source.attributes),
    }


def fields_or_why(source: PageSource) -> Fields:
    """Return what the page shows of the fields; where that fails, a line with the reason."""
    shown, failure = attempt(lambda: fields_shown(source.inputs, source.mode))
    return Fields(notes=[f"No maps: they could not be drawn ({failure})."]) if shown is None else shown


def member_namer(inputs: Inputs) -> Callable[[int], str]:
    """Return what names members in words, by their numbers."""
    if inputs.conditions is None:
        return lambda number: f"member {number}"
    cases = inputs.conditions.cases
    words = dict(zip(cases.indices, case_words(cases), strict=True))
    return lambda number: f"member {number % PER_CASE}, {words[number // PER_CASE]}"


def short_namer(inputs: Inputs) -> Callable[[int], str]:
    """Return what names members in figures alone: number, or number of the case / of the member."""
    if inputs.conditions is None:
        return str
    return lambda number: f"{number // PER_CASE} / {number % PER_CASE}"


def lead_namer(inputs: Inputs) -> Callable[[int], str]:
    """Return what names lead times in words; "" where there are none."""
    leads = inputs.conditions.leads if inputs.conditions else None
    return lambda lead: f"{leads.values[lead]:g} {leads.units}" if leads else ""
