"""The page of the cohort."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reperfuse.core.files import write_text
from reperfuse.core.tables import write_table
from reperfuse.reporting.pages import CRITERION_NAMES, Section, fragment, is_page_name, page, to_float
from reperfuse.reporting.plots import Point, lesion_plot, standalone, strip_plot

Rows = Sequence[Mapping[str, Any]]
Flow = Sequence[tuple[str, int, Sequence[tuple[str, int]]]]

# More rows than a browser sorts at once are left to the table file.
MOST_ROWS = 2500
MOST_PATTERNS = 30
DRAWN_CRITERIA = ("adc480", "adc620", "given")
EXCLUDED_COLUMNS = ("participant_id", "session_id", "study", "file", "code", "reason", "remedy")
ROLE_ORDER = ("adc", "trace", "dwi", "pwi", "gre", "flair", "t1w", "lesion", "brain")
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
        Rows with ``participant_id`` and ``state`` (``ok``, ``warned``, ``failed``, ``none``).
    excluded : sequence of mapping
        Rows with participant_id, session_id, study, file, code, reason, remedy.
    lesions : sequence of mapping
        Rows of ``lesions.tsv`` with ``visit`` added, or else with session_id that is in ``sessions``.
    flow : sequence of (str, int, sequence of (str, int))
        From first to last: what, how many patients, and why how many were lost before it.
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
    states = {str(row.get("participant_id")): str(row.get("state") or "none") for row in view.status}
    lesions = [{**row, "visit": _visit(row, view.sessions)} for row in view.lesions]
    drawn = {
        "lesion_volumes": lesion_plot(_lesion_panels(lesions, states), lambda who: _link(view, who)),
        "quality": strip_plot(_qc_points(view.qc, states), lambda who: _link(view, who)),
    }
    written = []
    for name, svg in drawn.items():
        if svg:
            written.append(root / "figures" / "cohort" / f"{name}.svg")
            write_text(written[-1], standalone(svg))
    patients = _patients(view, lesions, states)
    written += _tables(root, view, lesions, patients)
    sections = [
        Section("Patients in the study", "flow", fragment("cohort_flow.html.j2", flow=view.flow)),
        Section("Lesion volumes", "lesions", _plot(drawn["lesion_volumes"], "lesions")),
        Section("Quality", "quality", _plot(drawn["quality"], "quality")),
        Section("Images", "images", _matrix(view)),
        Section(
            "Eligibility", "eligibility", fragment("cohort_eligibility.html.j2", studies=view.eligibility)
        ),
        *more,
        Section("Patients", "patients", _patient_table(view, patients)),
        Section("Left out", "excluded", _excluded(view)),
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


def _link(view: CohortView, participant_id: str) -> str:
    known = participant_id in view.pages and is_page_name(participant_id)
    return f"{participant_id}.html" if known else ""


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


def _matrix(view: CohortView) -> Markup | str:
    if not view.available:
        return ""
    seen = {image for images in view.available.values() for image in images}
    order = {role: place for place, role in enumerate(ROLE_ORDER)}

    def place(image: str) -> tuple[str, int, str]:
        visit, _, role = image.partition("_")
        return visit, order.get(role, len(order)), role

    columns = sorted(seen, key=place)
    patterns: dict[frozenset[str], list[str]] = {}
    for who, images in sorted(view.available.items()):
        patterns.setdefault(frozenset(images), []).append(who)
    ranked = sorted(patterns.items(), key=lambda item: (-len(item[1]), sorted(item[0])))
    shown, rest = ranked[:MOST_PATTERNS], ranked[MOST_PATTERNS:]
    return fragment(
        "cohort_matrix.html.j2",
        columns=[tuple(image.partition("_")[::2]) for image in columns],
        totals=[sum(image in images for images in view.available.values()) for image in columns],
        patients=len(view.available),
        patterns=[([image in images for image in columns], who) for images, who in shown],
        rest=(len(rest), sum(len(who) for _, who in rest)),
        link=lambda who: _link(view, who),
    )


def _patients(view: CohortView, lesions: Rows, states: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one row per patient that any table names: state, volumes, findings, clinical columns."""
    clinical = {str(row.get("participant_id")): row for row in view.participants}
    volumes: dict[str, dict[str, Any]] = {}
    for row in lesions:
        name = f"{row.get('criterion')}_{row['visit']}_ml"
        volumes.setdefault(str(row.get("participant_id")), {})[name] = to_float(row.get("volume_ml"))
    left_out = _counts(str(row.get("participant_id")) for row in view.excluded)
    everyone = sorted({*clinical, *states, *volumes, *left_out, *view.available, *view.pages})
    return [
        {
            **clinical.get(who, {}),
            **volumes.get(who, {}),
            "participant_id": who,
            "state": states.get(who, "none"),
            "n_left_out": left_out.get(who, 0),
        }
        for who in everyone
    ]


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


def _patient_table(view: CohortView, patients: Rows) -> Markup:
    clinical = list(
        dict.fromkeys(key for row in view.participants[:50] for key in row if key != "participant_id")
    )
    volumes = [
        f"{criterion}_{visit}_ml"
        for criterion in DRAWN_CRITERIA
        for visit in ("J0", "J1")
        if any(to_float(row.get(f"{criterion}_{visit}_ml")) is not None for row in patients)
    ]
    titles = [f"{CRITERION_NAMES[name.rsplit('_', 2)[0]]}, {name.rsplit('_', 2)[1]} (ml)" for name in volumes]
    return fragment(
        "cohort_patients.html.j2",
        rows=patients[:MOST_ROWS],
        total=len(patients),
        clinical=clinical[:6],
        volumes=list(zip(volumes, titles, strict=True)),
        link=lambda who: _link(view, who),
    )


def _excluded(view: CohortView) -> Markup:
    groups: dict[str, dict[str, Any]] = {}
    for row in view.excluded:
        group = groups.setdefault(str(row.get("code")), {"example": row, "rows": 0, "patients": set()})
        group["rows"] += 1
        group["patients"].add(row.get("participant_id"))
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]["patients"]), item[0]))
    return fragment(
        "cohort_excluded.html.j2",
        rows=view.excluded[:MOST_ROWS],
        total=len(view.excluded),
        groups=[(code, len(group["patients"]), group["rows"], group["example"]) for code, group in ranked],
        link=lambda who: _link(view, who),
    )
