"""The part of a patient's page on perfusion: curves, input functions, maps, mismatch, motion, bleeding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reperfuse.core.tables import Row
from reperfuse.reporting import perfusion_figures as figures
from reperfuse.reporting.figures import Images
from reperfuse.reporting.pages import ABSENT, Finding, findings, fragment, number, plain, to_float
from reperfuse.reporting.perfusion_plots import curves_plot, motion_plot
from reperfuse.reporting.perfusion_words import (
    CONTOURS,
    FLAGS,
    MEANINGS,
    RULE_MEANINGS,
    RULE_TITLES,
    SOURCES,
)
from reperfuse.reporting.plots import standalone
from reperfuse.reporting.shelf import Shelf


@dataclass(frozen=True)
class Measure:
    """One line of the mismatch card."""

    title: str
    value: str
    meaning: str
    kind: str = ""


def perfusion_section(
    record: Mapping[str, Any] | None, images: Images, tables: Mapping[str, Sequence[Row]], shelf: Shelf
) -> Markup | str:
    """Return the section; empty where the patient has no perfusion series.

    Parameters
    ----------
    record : mapping or None
        Of the step ``perfusion``.
    images : mapping
        See `perfusion_figures.SHOWN`.
    tables : mapping
        ``PWI_curves`` and ``PWI_motion``: their rows.
    shelf : Shelf
        Takes the figures.
    """
    if record is None:
        return ""
    facts: Mapping[str, Any] = record.get("facts") or {}
    shown = figures.strips(images)
    drawn = {
        "curves": curves_plot(tables.get("PWI_curves", ()), facts),
        "motion": motion_plot(tables.get("PWI_motion", ()), spike_mm(facts)),
    }
    for name, svg in drawn.items():
        if svg:
            shelf.put(f"PWI_{name}.svg", standalone(svg).encode("utf-8"))
    whole = figures.overview(images) if shown else None
    return fragment(
        "patient_perfusion.html.j2",
        flags=flag_sentences(facts),
        findings=_own(record),
        measures=mismatch(facts),
        strips=_placed(shown, shelf),
        whole=_placed([whole], shelf) if whole else [],
        contours={name: CONTOURS[name] for name in figures.contour_names(shown) if name in CONTOURS},
        vessels=[(vessel, shelf.picture(vessel.picture)) for vessel in figures.vessels(images)],
        functions=input_functions(facts),
        curves=Markup(drawn["curves"]),
        motion=Markup(drawn["motion"]),
        motion_line=motion_line(facts),
        series=series(facts),
        bleeding=_placed(figures.bleeding(images), shelf) if _has(images, "PWI_gre") else [],
        ht=facts.get("ht") or {},
        source=_given(facts.get("ht") or {}),
        labelled=_has(images, "PWI_ht"),
        partial=_partial(images),
    )


def _has(images: Images, name: str) -> bool:
    return images.get(name) is not None


def _given(ht: Mapping[str, Any]) -> str:
    """Return where a mask is from: the file's name, which says more than the folders before it."""
    name = str(ht.get("source") or "").rpartition("/")[2]
    return f" ({name})" if name else ""


def _partial(images: Images) -> bool:
    covered, brain = images.get("PWI_covered"), images.get("PWI_brain")
    if covered is None or brain is None or covered.data.shape != brain.data.shape:
        return False
    return not bool((covered.data > 0.5)[brain.data > 0.5].all())


def _placed(strips: Sequence[figures.Strip], shelf: Shelf) -> list[dict[str, Any]]:
    return [{"strip": strip, "item": shelf.picture(strip.picture)} for strip in strips]


def _own(record: Mapping[str, Any]) -> list[Finding]:
    return findings({"perfusion": record})


def flag_sentences(facts: Mapping[str, Any]) -> list[str]:
    """Return what the step's quality flags mean; a flag that this catalogue lacks stands as it is."""
    flags = [str(flag) for flag in facts.get("flags") or ()]
    return [FLAGS.get(flag, flag.replace("_", " ")) for flag in dict.fromkeys(flags)]


def spike_mm(facts: Mapping[str, Any]) -> float | None:
    """Return the framewise displacement that is called a spike, where it is recorded."""
    return to_float((facts.get("motion") or {}).get("threshold_mm"))


def motion_line(facts: Mapping[str, Any]) -> str:
    """Return the measures of motion in words, empty without any."""
    motion = facts.get("motion") or {}
    if to_float(motion.get("max_fd_mm")) is None:
        return ""
    spikes = to_float(motion.get("n_spikes"))
    said = f"largest {number(motion['max_fd_mm'])} mm, mean {number(motion.get('mean_fd_mm'))} mm"
    if spikes is None:
        return said
    return f"{said}, {number(spikes, 0)} frame{'' if spikes == 1 else 's'} above the threshold"


def mismatch(facts: Mapping[str, Any]) -> list[Measure]:
    """Return the lines of the mismatch card: what was measured, and what each means."""
    volumes: Mapping[str, Any] = facts.get("volumes_ml") or {}
    made = []
    for key in ("core", "tmax6", "mismatch"):
        if key in volumes:
            made.append(_measure(key, f"{number(volumes[key], 1)} ml", "chief"))
    ratio = to_float(facts.get("mismatch_ratio"))
    if ratio is not None:
        made.append(_measure("mismatch_ratio", number(ratio, 2), "chief"))
    elif to_float(volumes.get("core")) == 0:
        made.append(_measure("mismatch_ratio", "no core"))
    for key in ("hir", "cbv_index"):
        if to_float(facts.get(key)) is not None:
            made.append(_measure(key, number(facts[key], 2)))
    for key in RULE_TITLES:
        if isinstance(facts.get(key), bool):
            verdict = "fulfilled" if facts[key] else "not fulfilled"
            made.append(Measure(RULE_TITLES[key], verdict, RULE_MEANINGS[key]))
        elif key in facts:
            made.append(Measure(RULE_TITLES[key], "cannot be said", RULE_MEANINGS[key], "quiet"))
    for key, volume in volumes.items():
        if key.startswith("rttp"):
            made.append(_cross_check(key.removeprefix("rttp"), volume, facts))
    for key in ("tmax4", "tmax8", "tmax10"):
        if key in volumes:
            made.append(_measure(key, f"{number(volumes[key], 1)} ml"))
    return made


def _measure(key: str, value: str, kind: str = "") -> Measure:
    title, meaning = MEANINGS[key]
    return Measure(title, value, meaning, kind)


def _cross_check(limit_s: str, volume: Any, facts: Mapping[str, Any]) -> Measure:
    agreement: Mapping[str, Any] = facts.get("agreement") or {}
    title, meaning = MEANINGS["rttp"]
    difference, overlap = (to_float(agreement.get(k)) for k in ("rttp_minus_tmax6_ml", "dice"))
    if difference is not None:
        sign = "+" if difference > 0 else ""
        meaning += f" Here {sign}{number(difference, 1)} ml against Tmax > 6 s"
        meaning += "." if overlap is None else f", Dice {number(overlap)}."
    return Measure(title.format(limit=limit_s), f"{number(volume, 1)} ml", meaning)


def input_functions(facts: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return of AIF and VOF: where from, voxels, peak, time to peak, width."""
    rows = []
    for key in ("aif", "vof"):
        found: Mapping[str, Any] = facts.get(key) or {}
        if found:
            cells = [
                SOURCES.get(str(found.get("source")), plain(found.get("source"))),
                number(found.get("n_voxels"), 0),
                number(found.get("peak_per_s"), 1),
                number(found.get("ttp_s"), 1),
                number(found.get("fwhm_s"), 1),
            ]
            rows.append((key.upper(), cells))
    return rows


def series(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the series was taken and used: label and text."""
    bolus: Mapping[str, Any] = facts.get("bolus") or {}
    rows = [
        ("Repetition time", _with(facts.get("tr_s"), "s", 3)),
        ("Echo time", _with(_thousandfold(facts.get("te_s")), "ms", 1)),
        ("Time points", plain(facts.get("n_volumes"))),
        ("Dropped at the start", plain(facts.get("dropped_volumes"))),
        ("Times from", plain(facts.get("timing"))),
        ("Bolus arrival", _with(bolus.get("arrival_s"), "s", 1)),
        ("Signal drop", _with(bolus.get("drop_percent"), "%", 0)),
        ("Deconvolution", plain(facts.get("method"))),
        ("Usable brain voxels", _with(facts.get("valid_percent"), "%", 1)),
        ("Points beyond the series", plain(facts.get("held_points"))),
    ]
    return [(label, text) for label, text in rows if text != ABSENT]


def _thousandfold(value: Any) -> float | None:
    found = to_float(value)
    return None if found is None else 1000.0 * found


def _with(value: Any, unit: str, digits: int) -> str:
    return ABSENT if to_float(value) is None else f"{number(value, digits)} {unit}"
