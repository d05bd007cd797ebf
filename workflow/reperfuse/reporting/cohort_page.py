"""The page of the cohort."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reperfuse.cohort.flow import Stage
from reperfuse.core.files import write_text
from reperfuse.core.tables import write_table
from reperfuse.reporting.cohort_tables import (
    DRAWN_CRITERIA,
    Rows,
    excluded_table,
    image_matrix,
    patient_rows,
    patient_table,
)
from reperfuse.reporting.pages import CRITERION_NAMES, Section, fragment, is_page_name, page, to_float
from reperfuse.reporting.plots import Point, lesion_plot, standalone, strip_plot

Flow = Sequence[Stage | tuple[str, int, Sequence[tuple[str, int]]]]

EXCLUDED_COLUMNS = ("participant_id", "session_id", "study", "file", "code", "reason", "remedy")
QC_METRICS = {
    "adc_median": "ADC median in the brain (10⁻⁶ mm²/s)",
    "brain_ml": "brain volume (ml)",
    "adc_negative_percent": "negative ADC inside the head (%)",
    "nmi": "registration: NMI after",
    "shift_mm": "registration: shift (mm)",
}


@dataclass(frozen=True)
class CohortView:
    """What the page of the cohort shows; every field may be empty.

    Parameters
    ----------
    participants : sequence of mapping
        Rows of ``participants.tsv``.
    status : sequence of mapping
        Rows of ``cohort/status.tsv``, of which participant_id and state are read; the worst of a patient's
        steps (``failed``, ``warned``, ``ok``) is shown.
    excluded : sequence of mapping
        Rows with participant_id, session_id, study, file, code, reason, remedy.
    lesions : sequence of mapping
        Rows of ``lesions.tsv`` with ``visit`` added, or else with session_id that is in ``sessions``.
    flow : sequence of Stage, or of (str, int, sequence of (str, int))
        From first to last: what, how many patients, and why how many were lost before it; a tuple follows
        the one before, unless its label ends in ``(of those …)``.
    qc : sequence of mapping
        See :func:`qc_rows`.
    eligibility : mapping
        Study to the number of eligible patients and reason to number of patients left out for it.
    run : mapping
        Versions, configuration digest, command: name to text.
    available : mapping
        Participant to the images that are there: ``J0_adc``, ``J1_gre``, …
    pages : collection of str
        Participants who have a page.
    sessions : mapping
        Visit to session label.
    """

    participants: Rows = ()
    status: Rows = ()
    excluded: Rows = ()
    lesions: Rows = ()
    flow: Flow = ()
    qc: Rows = ()
    eligibility: Mapping[str, tuple[int, Mapping[str, int]]] = field(default_factory=dict)
    run: Mapping[str, str] = field(default_factory=dict)
    available: Mapping[str, Collection[str]] = field(default_factory=dict)
    pages: Collection[str] = ()
    sessions: Mapping[str, str] = field(default_factory=dict)


def qc_rows(participant_id: str, records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a patient's records say of quality: one row per visit and one per registered pair.

    Parameters
    ----------
    participant_id : str
    records : mapping
        Step to record.

    Returns
    -------
    list of dict
        participant_id, lane (visit, or the moving image) and some of the keys of ``QC_METRICS``.
    """
    rows: list[dict[str, Any]] = []
    prepared = records.get("prepare", {}).get("facts") or {}
    for visit in ("J0", "J1"):
        facts = prepared.get(visit)
        if isinstance(facts, Mapping):
            rows.append(
                {
                    "participant_id": participant_id,
                    "lane": visit,
                    "adc_median": (facts.get("adc_unit") or {}).get("median"),
                    "brain_ml": facts.get("brain_ml"),
                    "adc_negative_percent": facts.get("adc_negative_percent"),
                }
            )
    for pair in (records.get("register", {}).get("facts") or {}).get("pairs") or ():
        row = {"participant_id": participant_id, "lane": pair.get("moving")}
        rows.append({**row, "nmi": pair.get("nmi_after"), "shift_mm": pair.get("translation_mm")})
    return rows


def cohort_page(view: CohortView, report_dir: str | Path, *, more: Iterable[Section] = ()) -> list[Path]:
    """Write ``index.html``, its figures and the tables behind them.

    Parameters
    ----------
    view : CohortView
    report_dir : path
        The folder of the report; links are relative to it.
    more : iterable of Section
        Parts that studies add, shown before the tables.

    Returns
    -------
    list of Path
        The written files, the page last.
    """
    root = Path(report_dir)
    states = _states(view.status)
    known = frozenset(filter(is_page_name, view.pages))

    def link(who: str) -> str:
        return f"{who}.html" if who in known else ""

    lesions = [{**row, "visit": _visit(row, view.sessions)} for row in view.lesions]
    drawn = {
        "lesion_volumes": lesion_plot(_lesion_panels(lesions, states), link),
        "quality": strip_plot(_qc_points(view.qc, states), link),
    }
    written = []
    for name, svg in drawn.items():
        if svg:
            written.append(root / "figures" / "cohort" / f"{name}.svg")
            write_text(written[-1], standalone(svg))
    patients = patient_rows(view.participants, states, lesions, view.excluded, {*view.available, *known})
    clinical = list(dict.fromkeys(key for row in view.participants for key in row if key != "participant_id"))
    written += _tables(root, view, lesions, patients)
    sections = [
        Section("Patients in the study", "flow", _flow(view.flow)),
        Section("Lesion volumes", "lesions", _plot(drawn["lesion_volumes"], "lesions")),
        Section("Quality", "quality", _plot(drawn["quality"], "quality")),
        Section("Images", "images", image_matrix(view.available, link)),
        Section(
            "Eligibility", "eligibility", fragment("cohort_eligibility.html.j2", studies=view.eligibility)
        ),
        *more,
        Section("Patients", "patients", patient_table(patients, clinical, link)),
        Section("Left out", "excluded", excluded_table(view.excluded, link)),
        Section("This run", "run", fragment("cohort_run.html.j2", run=view.run)),
    ]
    text = page(
        title="Cohort",
        lead=fragment("cohort_lead.html.j2", patients=len(patients), counts=_counts(states.values())),
        sections=[section for section in sections if section.html.strip()],
        script=True,
    )
    written.append(root / "index.html")
    write_text(written[-1], text)
    return written


def _states(status: Rows) -> dict[str, str]:
    rank = {"failed": 3, "warned": 2, "ok": 1}
    found: dict[str, str] = {}
    for row in status:
        who, state = str(row.get("participant_id") or ""), str(row.get("state"))
        # A row without a patient tells of the dataset, not of somebody.
        if is_page_name(who) and rank.get(state, 0) >= rank.get(found.get(who, "none"), 0):
            found[who] = state if state in rank else "none"
    return found


def _flow(flow: Flow) -> Markup:
    """Draw the chain of stages downwards, and the stages that only branch off beside each other."""
    stages: list[Stage] = []
    for given in flow:
        if isinstance(given, Stage):
            stages.append(given)
            continue
        # A box that does not follow the one before says so in its label.
        label, _, of = given[0].removesuffix(")").partition(" (of those ")
        before = of or (stages[-1].label if stages else "")
        stages.append(Stage(label if of else given[0], given[1], before, list(given[2])))
    parents = [stage.of for stage in stages]
    trunk: list[Stage] = []
    for stage in stages:
        follows = not trunk or stage.of == trunk[-1].label
        if follows and (stage.label in parents or parents.count(stage.of) == 1):
            trunk.append(stage)
    numbers = {stage.label: stage.n for stage in stages}
    branches = {
        (parent, numbers.get(parent)): [
            stage for stage in stages if stage.of == parent and stage not in trunk
        ]
        for parent in reversed(dict.fromkeys(parents))
    }
    return fragment("cohort_flow.html.j2", trunk=trunk, branches=branches)


def _counts(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _visit(row: Mapping[str, Any], sessions: Mapping[str, str]) -> str:
    if row.get("visit"):
        return str(row["visit"])
    label = str(row.get("session_id") or "").removeprefix("ses-")
    return next((visit for visit, session in sessions.items() if session == label), "J0")


def _lesion_panels(lesions: Rows, states: Mapping[str, str]) -> dict[str, list[Point]]:
    panels: dict[str, list[Point]] = {CRITERION_NAMES[name]: [] for name in DRAWN_CRITERIA}
    for row in lesions:
        volume, name = to_float(row.get("volume_ml")), str(row.get("criterion"))
        if volume is None or name not in DRAWN_CRITERIA or row["visit"] not in ("J0", "J1"):
            continue
        who = str(row.get("participant_id"))
        panels[CRITERION_NAMES[name]].append(Point(who, str(row["visit"]), volume, states.get(who, "ok")))
    return panels


def _qc_points(rows: Rows, states: Mapping[str, str]) -> dict[str, list[Point]]:
    metrics: dict[str, list[Point]] = {label: [] for label in QC_METRICS.values()}
    for row in rows:
        who = str(row.get("participant_id"))
        for key, label in QC_METRICS.items():
            value = to_float(row.get(key))
            if value is not None:
                metrics[label].append(Point(who, str(row.get("lane")), value, states.get(who, "ok")))
    return metrics


def _plot(svg: str, name: str) -> Markup:
    return fragment("cohort_plot.html.j2", svg=Markup(svg), name=name)


def _columns(rows: Rows, suffix: str) -> list[str]:
    return sorted({key for row in rows for key in row if key.endswith(suffix)})


def _tables(root: Path, view: CohortView, lesions: Rows, patients: Rows) -> list[Path]:
    """Write the tables behind the figures, so that the folder of the report is complete in itself."""
    keys = [key for row in patients[:1] for key in row]
    names = list(dict.fromkeys(["participant_id", "state", "n_left_out", *keys, *_columns(patients, "_ml")]))
    content: dict[str, tuple[Rows, list[str]]] = {
        "patients": (patients, names),
        "excluded": (view.excluded, list(EXCLUDED_COLUMNS)),
        "lesions": (lesions, list(dict.fromkeys(key for row in lesions for key in row))),
        "quality": (view.qc, ["participant_id", "lane", *QC_METRICS]),
    }
    written = []
    for name, (rows, columns) in content.items():
        if rows or name in ("patients", "excluded"):
            written.append(root / "tables" / f"{name}.tsv")
            write_table(written[-1], rows, columns)
    return written
