"""What a reader has to know before the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reperfuse.evaluation.interface import MAIN_SPLIT
from reperfuse.evaluation.patient_tables import Case
from reperfuse.studies.severity.names import declared, networks, of_repeat
from reperfuse.studies.severity.trials import not_fitted

Row = dict[str, Any]
Section = Mapping[str, Any]
SOURCE = "TRACT-NET, doi 10.1007/s10278-026-01892-5"
VOLUME = "log_volume"


def title_of(section: Section) -> str:
    """Return the study's title with what must be said of the data."""
    note = f" ({section['title_note']})" if section["title_note"] else ""
    seen = " and ".join({"lesion": "lesion masks", "adc": "ADC"}.get(one, one) for one in section["channels"])
    cut = f"{section['variable'].upper()} above {section['minor_max']}"
    return f"Minor against non-minor stroke ({cut}) from {seen} of J0{note}"


def declared_test(section: Section) -> str:
    """Return the declared test of the primary comparison: over all repeats where both are fitted in all of them."""
    again = of_repeat(section, 2) if section["repeats"] > 1 else []
    return "corrected_t_repeats" if set(declared(section)) <= set(again) else "corrected_t"


def labels_of(section: Section) -> dict[str, str]:
    """Return readable names of configurations that see something else than the paper's."""
    if "trace" in section["channels"]:
        return {}
    seen = " and ".join({"lesion": "lesion masks", "adc": "ADC"}.get(one, one) for one in section["channels"])
    return {"tractnet": f"TRACT-NET on {seen}"} if "tractnet" in networks(section) else {}


def notices(
    tables: Mapping[str, Sequence[Row]],
    case: Case,
    section: Section,
    trials: Sequence[Mapping[str, Any]],
    people: Sequence[str],
) -> list[str]:
    """Return what a reader has to know before the numbers.

    Parameters
    ----------
    tables : mapping
        ``metrics``, ``comparisons``, ``consistency``, ``left-out``.
    case : Case
    section : mapping
    trials : sequence of mapping
        Facts of the trials.
    people : sequence of str
        Who was cross-validated.
    """
    found = [*_made(case, section, trials), *against_volume(tables, case)]
    if "trace" not in section["channels"]:
        found.append(
            "Networks were not shown diffusion-weighted images, which the paper's are: "
            f"{', '.join(section['channels'])} of J0 alone. Their numbers do not reproduce the paper's."
        )
    earlier = [case.clinical.get(who, {}).get("prior_stroke") for who in people]
    if any(earlier):
        found.append(
            f"{earlier.count('yes')} patients had a stroke before this one, {earlier.count('no')} had none, of "
            f"{earlier.count(None)} it is not known; subgroups.tsv judges them apart."
        )
    found += paper_rows(tables["consistency"])
    if any(row["configuration"].endswith("[recalibrated]") for row in tables["metrics"]):
        found.append(
            "Rows named [recalibrated] use the labels of the other cohort to shift the intercept to its prevalence; "
            "all others were fixed before it was seen."
        )
    if late := len({row["participant_id"] for row in tables["left-out"] if row["stage"] == "image"}):
        found.append(f"Eligible patients left out for their image or label: {late}; see left-out.tsv.")
    return found


def _made(case: Case, section: Section, trials: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        f"{name}, which was to be compared, could not be made from these data."
        for name in declared(section)
        if name not in case.compared
    ]
    missing = not_fitted(trials)
    if why := missing.pop("all", ""):
        found.append(f"In at least one fold nothing was fitted: {why}.")
    for why in dict.fromkeys(missing.values()):
        names = ", ".join(name for name, reason in missing.items() if reason == why)
        found.append(f"Not fitted in at least one fold: {names} ({why}).")
    return found


def against_volume(tables: Mapping[str, Sequence[Row]], case: Case) -> list[str]:
    """Return the primary's AUC beside that of the lesion's volume alone, which any image model has to beat."""
    if not case.compared or case.compared[0] == VOLUME:
        return []
    first = case.compared[0]
    mean = {
        row["configuration"]: row["estimate"]
        for row in tables["metrics"]
        if (row["split"], row["metric"], row["estimator"]) == (MAIN_SPLIT, "auc", "fold_mean")
        and row["target"] == case.target
    }
    if mean.get(first) is None or mean.get(VOLUME) is None:
        return []
    text = f"{first} has an AUC of {mean[first]:.3f} and the volume of the lesion alone one of {mean[VOLUME]:.3f} "
    text += "(means over the folds of the first repeat)"
    for test, folds in (("corrected_t", "these folds"), ("corrected_t_repeats", "the folds of all repeats")):
        for row in tables["comparisons"]:
            found = (row["first"], row["second"], row["split"], row["test"]) == (
                first,
                VOLUME,
                MAIN_SPLIT,
                test,
            )
            if found and row["difference"] is not None:
                text += f"; difference over {folds} {row['difference']:+.3f}"
                text += "" if row["ci_low"] is None else f" ({row['ci_low']:+.3f} to {row['ci_high']:+.3f})"
    return [f"{text}."]


def paper_rows(consistency: Sequence[Row]) -> list[str]:
    """Return what the check finds of the paper's rows of metrics."""
    said = []
    for name in dict.fromkeys(row["name"] for row in consistency if row["source"] == "paper"):
        mine = [row for row in consistency if (row["source"], row["name"]) == ("paper", name)]
        whole = [row for row in mine if row["average"] != "any" and row["passes"] == 0]
        if len(whole) < sum(row["average"] != "any" for row in mine):
            continue
        best = min(whole, key=lambda row: row["distance"])
        text = (
            f"The paper's metrics of {name} come from no single confusion matrix of {best['n']} patients, whatever "
            f"their prevalence: the nearest ({best['average']}) misses {best['worst_metric']} by {best['distance']:.3f}"
        )
        for row in mine:
            if row["average"] == "any" and row["passes"] == 0:
                text += (
                    ". Where each metric may be of an average of its own, the nearest misses by "
                    f"{row['distance']:.4f}; a mean over several models may be off by as little"
                )
        said.append(f"{text}.")
    return said
