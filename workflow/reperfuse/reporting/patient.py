"""The page of one patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reperfuse.core.files import write_text
from reperfuse.core.tables import Row
from reperfuse.reporting.acquisition import acquisition
from reperfuse.reporting.figures import (
    LAYERS,
    Images,
    PairPictures,
    pair_pictures,
    visit_pictures,
)
from reperfuse.reporting.histogram import histogram
from reperfuse.reporting.pages import Section, findings, fragment, is_page_name, page, to_float
from reperfuse.reporting.perfusion_section import perfusion_section
from reperfuse.reporting.plots import standalone
from reperfuse.reporting.shelf import Shelf

VISITS = ("J0", "J1")
CRITERIA = ("adc480_raw", "adc480", "adc620_raw", "adc620", "given")


@dataclass(frozen=True)
class PatientView:
    """What the page of a patient shows.

    Parameters
    ----------
    participant_id : str
        ``sub-…``.
    records : mapping
        Step to its record, in the order of the steps; a step that did not run is absent.
    images : mapping
        Name to image, as in ``work/sub-X/``: ``J0_adc``, ``J0_trace``, ``J0_s0``, ``J0_brain``,
        ``J0_adc480``, ``J0_adc620``, ``J0_lesion``, the same of J1, ``space-J0_…`` and ``PWI_…``.
        None or absent where there is none.
    clinical : mapping
        The patient's row of ``participants.tsv``; empty if there is none.
    eligibility : mapping
        Study to why the patient is left out; the empty string if eligible.
    sessions : mapping
        Visit to session label; empty without sessions.
    versions : mapping
        What made the page: program to version.
    tables : mapping
        ``PWI_curves`` and ``PWI_motion`` to their rows.
    """

    participant_id: str
    records: Mapping[str, Mapping[str, Any]]
    images: Images = field(default_factory=dict)
    clinical: Mapping[str, Any] = field(default_factory=dict)
    eligibility: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    def facts(self, step: str) -> Mapping[str, Any]:
        """Return what a step measured; empty where it did not run."""
        return self.records.get(step, {}).get("facts") or {}


def patient_page(view: PatientView, report_dir: str | Path) -> list[Path]:
    """Write ``sub-X.html`` and its figures below ``figures/sub-X/``.

    Parameters
    ----------
    view : PatientView
    report_dir : path
        The folder of the report; links are relative to it.

    Returns
    -------
    list of Path
        The written files, the page last.

    Raises
    ------
    ValueError
        If the identifier cannot name a file.
    """
    if not is_page_name(view.participant_id):
        raise ValueError(f"{view.participant_id!r} is not sub-<letters and digits>")
    shelf = Shelf(Path(report_dir), view.participant_id)
    sections = [
        Section("Status", "status", _status(view)),
        Section("Acquisition", "acquisition", acquisition(_visits(view, "prepare"))),
        Section("Lesion maps", "maps", _maps(view, shelf)),
        Section("ADC in the brain", "histogram", _histogram(view, shelf)),
        Section("Volumes", "volumes", _volumes(view)),
        Section("Perfusion", "perfusion", _perfusion(view, shelf)),
        Section("Territories and regions", "regions", _loads(view)),
        Section("Registration", "registration", _registration(view, shelf)),
        Section("Template", "template", _template(view)),
        Section("Processing", "processing", _processing(view)),
    ]
    text = page(
        title=view.participant_id,
        lead=fragment("patient_lead.html.j2", view=view, state=state_of(view.records)),
        sections=[section for section in sections if section.html],
        script=False,
        home="index.html",
    )
    target = shelf.root / f"{view.participant_id}.html"
    write_text(target, text)
    return [*shelf.written, target]


def state_of(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the worst state of a patient's steps; ``none`` without any."""
    states = {str(record.get("state")) for record in records.values()}
    return next((state for state in ("failed", "warned", "ok") if state in states), "none")


def _visits(view: PatientView, step: str) -> dict[str, Mapping[str, Any]]:
    facts = view.facts(step)
    return {visit: facts[visit] for visit in VISITS if isinstance(facts.get(visit), Mapping)}


def _status(view: PatientView) -> Markup:
    lesions = view.facts("lesions").get("lesion") or {}
    return fragment(
        "patient_status.html.j2",
        view=view,
        findings=findings(view.records),
        lesions={visit: lesions.get(visit) for visit in VISITS},
        clinical={
            key: value
            for key, value in view.clinical.items()
            if key != "participant_id" and value not in (None, "", "n/a")
        },
        n_clinical=len(view.clinical),
    )


def _maps(view: PatientView, shelf: Shelf) -> Markup:
    lesions = view.facts("lesions").get("lesion") or {}
    present = [visit for visit in VISITS if any(name.startswith(f"{visit}_") for name in view.images)]
    shown = []
    for visit in present or ["J0"]:
        counts_as = str(lesions.get(visit) or "")
        drawn = visit_pictures(visit, view.images, counts_as)
        if (
            drawn.adc is None
            and visit == "J1"
            and not any(view.images.get(name) is not None for name in view.images if name.startswith("J1_"))
        ):
            continue
        shown.append(
            {
                "visit": visit,
                "session": view.sessions.get(visit, ""),
                "counts_as": counts_as,
                "layers": drawn.layers,
                "not_drawn": drawn.not_drawn,
                "adc": shelf.picture(drawn.adc),
                "trace": shelf.picture(drawn.trace),
                "overview": shelf.picture(drawn.overview),
            }
        )
    return fragment("patient_maps.html.j2", visits=shown, names=LAYERS)


def _histogram(view: PatientView, shelf: Shelf) -> Markup | str:
    svg = histogram(view.images)
    if not svg:
        return ""
    shelf.put("adc_histogram.svg", standalone(svg).encode("utf-8"))
    return fragment("patient_histogram.html.j2", svg=Markup(svg))


def _volumes(view: PatientView) -> Markup | str:
    facts = view.facts("lesions")
    cells: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in facts.get("rows") or ():
        cells.setdefault(str(row.get("criterion")), {})[str(row.get("visit"))] = row
    if not cells:
        return ""
    order = [*(name for name in CRITERIA if name in cells), *sorted(set(cells) - set(CRITERIA))]
    visits = [visit for visit in VISITS if any(visit in row for row in cells.values())]
    return fragment(
        "patient_volumes.html.j2",
        criteria=order,
        cells=cells,
        visits=visits,
        growth=facts.get("growth_ml") or {},
        lesions=facts.get("lesion") or {},
    )


def _perfusion(view: PatientView, shelf: Shelf) -> Markup | str:
    return perfusion_section(view.records.get("perfusion"), view.images, view.tables, shelf)


def _loads(view: PatientView) -> Markup | str:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in view.facts("lesions").get("loads") or ():
        groups.setdefault((str(row.get("visit")), str(row.get("atlas"))), []).append(row)
    for rows in groups.values():
        rows.sort(key=lambda row: (-(to_float(row.get("volume_ml")) or 0.0), str(row.get("name"))))
    return fragment("patient_loads.html.j2", groups=groups) if groups else ""


def _space_name(pair: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> str:
    """Return the image that shows a pair: one per contrast lies on the J0 grid."""
    visit, _, role = str(pair.get("moving")).partition("_")
    if role in ("s0", "adc", "trace"):
        return "space-J0_adc" if visit == "J1" else ""
    same = sorted(
        str(other.get("moving")) for other in pairs if str(other.get("moving")).endswith(f"_{role}")
    )
    # The GRE that labels bleeding is that of J1; other contrasts are taken at J0.
    wanted = same[-1] if role == "gre" else same[0]
    return f"space-J0_{role}" if str(pair.get("moving")) == wanted else ""


def _registration(view: PatientView, shelf: Shelf) -> Markup | str:
    pairs = view.facts("register").get("pairs") or []
    faults = view.records.get("register", {}).get("faults") or ()
    told = {str((fault.get("values") or {}).get("moving")) for fault in faults}
    shown = []
    for pair in pairs:
        verdict = (
            "fail" if not pair.get("accepted") else "warn" if str(pair.get("moving")) in told else "pass"
        )
        name = _space_name(pair, pairs)
        pictures: PairPictures | None = pair_pictures(view.images, name) if name else None
        shown.append(
            {
                "pair": pair,
                "verdict": verdict,
                "fixed": shelf.picture(pictures.fixed) if pictures else None,
                "moving": shelf.picture(pictures.moving) if pictures else None,
            }
        )
    return fragment("patient_registration.html.j2", pairs=shown) if shown else ""


def _template(view: PatientView) -> Markup | str:
    facts = view.facts("normalise")
    return fragment("patient_template.html.j2", facts=facts) if facts.get("template") else ""


def _processing(view: PatientView) -> Markup:
    return fragment("patient_processing.html.j2", records=view.records, versions=view.versions)
