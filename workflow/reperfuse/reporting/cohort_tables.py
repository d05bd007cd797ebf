"""Tables of the cohort's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from reperfuse.reporting.pages import CRITERION_NAMES, Section, fragment, to_float
from reperfuse.reporting.plots import LinkOf

Rows = Sequence[Mapping[str, Any]]

# More rows than a browser sorts at once are left to the table file.
MOST_ROWS = 2500
MOST_PATTERNS = 30
DRAWN_CRITERIA = ("adc480", "adc620", "given")
ROLE_ORDER = ("adc", "trace", "dwi", "pwi", "gre", "flair", "t1w", "lesion", "brain", "ht", "aif")


def image_matrix(available: Mapping[str, Collection[str]], link: LinkOf) -> Markup | str:
    """Return which combinations of images patients have, the most frequent first.

    Parameters
    ----------
    available : mapping
        Participant to images: ``J0_adc``, ``J1_gre``, …
    link : callable
        Participant to the address of the page, empty if there is none.
    """
    if not available:
        return ""
    seen = {image for images in available.values() for image in images}
    order = {role: place for place, role in enumerate(ROLE_ORDER)}

    def place(image: str) -> tuple[str, int, str]:
        visit, _, role = image.partition("_")
        return visit, order.get(role, len(order)), role

    columns = sorted(seen, key=place)
    patterns: dict[frozenset[str], list[str]] = {}
    for who, images in sorted(available.items()):
        patterns.setdefault(frozenset(images), []).append(who)
    ranked = sorted(patterns.items(), key=lambda item: (-len(item[1]), sorted(item[0])))
    shown, rest = ranked[:MOST_PATTERNS], ranked[MOST_PATTERNS:]
    return fragment(
        "cohort_matrix.html.j2",
        columns=[tuple(image.partition("_")[::2]) for image in columns],
        totals=[sum(image in images for images in available.values()) for image in columns],
        patients=len(available),
        patterns=[([image in images for image in columns], who) for images, who in shown],
        rest=(len(rest), sum(len(who) for _, who in rest)),
        link=link,
    )


def patient_rows(
    participants: Rows, states: Mapping[str, str], lesions: Rows, excluded: Rows, others: Collection[str]
) -> list[dict[str, Any]]:
    """Return one row per patient that any table names: state, volumes, findings, clinical columns.

    Parameters
    ----------
    participants : sequence of mapping
        Clinical rows.
    states : mapping
        Participant to state.
    lesions : sequence of mapping
        Rows with participant_id, visit, criterion and volume_ml.
    excluded : sequence of mapping
        Rows that are counted per patient.
    others : collection of str
        Patients to list even if no table names them.
    """
    clinical = {str(row.get("participant_id")): row for row in participants}
    volumes: dict[str, dict[str, Any]] = {}
    for row in lesions:
        name = f"{row.get('criterion')}_{row['visit']}_ml"
        volumes.setdefault(str(row.get("participant_id")), {})[name] = to_float(row.get("volume_ml"))
    left_out = Counter(str(row.get("participant_id")) for row in excluded)
    everyone = sorted({*clinical, *states, *volumes, *left_out, *others})
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


def patient_table(patients: Rows, clinical: Sequence[str], link: LinkOf) -> Markup:
    """Return the table of patients; of the ``clinical`` columns the first six fit beside the volumes."""
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
        link=link,
    )


def excluded_table(excluded: Rows, link: LinkOf) -> Markup:
    """Return what was left out: by code, then each entry with what to do."""
    groups: dict[str, dict[str, Any]] = {}
    for row in excluded:
        group = groups.setdefault(str(row.get("code")), {"example": row, "rows": 0, "patients": set()})
        group["rows"] += 1
        group["patients"].add(row.get("participant_id"))
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]["patients"]), item[0]))
    return fragment(
        "cohort_excluded.html.j2",
        rows=excluded[:MOST_ROWS],
        total=len(excluded),
        groups=[(code, len(group["patients"]), group["rows"], group["example"]) for code, group in ranked],
        link=link,
    )


def folds_section(folds: Mapping[str, Mapping[str, Any]]) -> Section:
    """Return how the folds of each study are filled.

    Parameters
    ----------
    folds : mapping
        Study to ``balance`` (rows of fold, n, n per label) and ``notices``.
    """
    html = fragment("cohort_folds.html.j2", folds=folds) if folds else ""
    return Section("Folds", "folds", html)


def assumed_section(values: Mapping[str, Any]) -> Section:
    """Return the configuration's values that no paper states: dotted name to value."""
    html = fragment("cohort_assumed.html.j2", values=values) if values else ""
    return Section("Assumed values", "assumed", html)
