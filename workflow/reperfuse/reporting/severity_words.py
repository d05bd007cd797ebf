"""How to read each part of the severity study's page, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reperfuse.core.tables import Row
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.severity_view import SeverityView
from reperfuse.reporting.study_reading import READING
from reperfuse.reporting.study_reading import WORDS as COMMON
from reperfuse.reporting.study_view import limits, mean_sd, signed, value, with_limits
from reperfuse.reporting.study_words import FOLD_TESTS, TEST_NAMES

WORDS: Mapping[str, str] = {
    "non-minor, minor": "NIHSS above, or up to, the cut; non-minor is “the outcome” of every table, y = 1.",
    "TRACT-NET": "the network of the paper: residual blocks whose skips hold coordinate attention and efficient "
    "self-attention, and a Mamba bottleneck. Its code is not public; what the paper leaves open is assumed.",
    "lesion volume": "logistic regression on log(1 + ml) of the lesion at J0: what any image model has to beat.",
    "territories": "extremely randomised trees on the ml of lesion in each region of the atlases, and in all.",
    "lesion maps": "regression on smoothed maps of the lesion in the template: where it lies, not its size alone.",
    "ensemble": "the mean of the calibrated log odds of configurations made of images alone, with equal weights.",
    "hybrid": "logistic regression on what configurations say of patients whom they have not seen, and on clinical "
    "variables known at J0. NIHSS is no input of anything.",
    "recalibrated": "with the intercept shifted to the prevalence of the other cohort, by its own labels.",
    **{
        word: COMMON[word]
        for word in COMMON
        if word in ("AUC", "Brier score", "Brier skill", "slope", "intercept")
    },
    **{
        word: COMMON[word]
        for word in COMMON
        if word in ("in the large", "ICI, E50, E90", "ECE", "PPV, NPV", "NIHSS")
    },
}
_OWN: Mapping[str, Sequence[str]] = {
    "paper": (
        "The paper's cross-validation was of another hospital's patients. Its values for SOOP are of a model trained "
        "there, and no cross-validation is their like.",
        *READING["paper"],
    ),
    "averages": (
        "Sensitivity, PPV, F1 of a table can be of the positive class (what readers expect), means over both "
        "classes (macro), or means weighted by how frequent they are (weighted); an AUC can be of "
        "probabilities or of labels after a cut. Papers do not always say which. All are printed here, so "
        "that any table can be compared with its like.",
        "The check asks whether there is one table of true and false positives and negatives, of as many "
        "patients, that gives all the printed values at once; “each its own” grants every value the "
        "definition that suits it best.",
    ),
    "thresholds": (
        "Youden's is chosen on inner out-of-fold predictions of the training patients; each fold's own is "
        "applied to its own patients. On other cohorts the threshold is the one fixed here.",
    ),
    "volume": (
        "Large lesions make strokes severe, so that volume alone does well over all patients. Inside a band "
        "there is little of that left: an AUC that stays above that of volume says that the place, or the "
        "image, counts.",
    ),
    "cuts": (
        "The same scores, judged at other cuts of the NIHSS; nothing was fitted on them. A result that holds "
        "for one cut only is fragile.",
    ),
    "ablations": (
        "Each variant leaves out or exchanges one part of TRACT-NET. Left of zero, the variant is worse; an "
        "interval that crosses zero does not show that the part is needed.",
    ),
    "saliency": (
        "Grad-CAM: where the features of the last layers speak for a non-minor stroke, by the networks of "
        "the fold that never saw the patient. Warm is much, no colour is nothing; colours are scaled to each "
        "patient's own strongest place. The layer is coarse, so that a colour belongs to a region and not to "
        "a voxel.",
        "Pointing: is the strongest place within some mm of the lesion? Energy: how much of the map lies in "
        "the lesion? Both are held against chance, a place or a map that knows only the brain. Stability: "
        "mean correlation between the maps of the fold's networks, each trained without another part of the "
        "training patients.",
        "Randomised: the network's layers are made random one after the other, the last first. A map that "
        "stays as it was (correlation near 1) shows the image, not what the network has learnt.",
    ),
    "training": ("Loss of each network in its first and last epoch, on its own training patients.",),
    "external": (
        *READING["external"],
        "Rows marked as recalibrated use the labels of the other cohort to shift the intercept: they show "
        "what discrimination would be worth with the right prevalence, and are no test of calibration.",
    ),
}
READINGS: Mapping[str, Sequence[str]] = {**READING, **_OWN}
CALIBRATED = (
    "Calibration of predicted probabilities, which were scaled on inner out-of-fold predictions of the "
    "training patients; pooled (approximate 95 % CI)"
)
AVERAGE = {"positive": "positive class", "any": "each its own"}
LIMITS: Sequence[str] = (
    "One cut of one score decides who is “minor”: a patient at the cut and one just above it are hardly "
    "different, and raters differ by more.",
    "The NIHSS weighs language and so the left hemisphere: lesions of equal size and effect on the right "
    "score lower. What is predicted is the score, not the harm. Images that are flipped in training "
    "(`augmentation: flip:`) would have another score.",
    "A mild score can go with a disabling deficit, and a score taken before or after treatment is not the "
    "same; when it was taken in relation to the scan is often not recorded.",
    "Earlier strokes leave deficits that the image of the new one does not explain; see the subgroup where "
    "it is known.",
    "What the paper does not state about TRACT-NET is assumed; a difference from its numbers is no refutation.",
    "Cross-validation in one cohort is no external validation. Predictions must not guide treatment.",
)


def against_volume(view: SeverityView) -> list[str]:
    """Return the AUC of the two configurations that are compared, and their difference, in each cross-validation."""
    said = []
    for split in view.crossvals:
        own = view.on(split)
        if not view.primary:
            continue
        first, second = view.primary
        values = [
            f"{view.named(name)} {mean_sd(own.estimate(name, 'auc', 'fold_mean'))}" for name in view.primary
        ]
        text = f"{view.n_folds(split)} folds: AUC, mean over folds, {', '.join(values)}"
        rows = [r for r in own.comparisons if (r["first"], r["second"]) == (first, second)]
        tests = [r for r in rows if r.get("test") in FOLD_TESTS and r.get("test") != "naive_t"]
        if shown := [_difference(r) for r in tests if to_float(r.get("difference")) is not None]:
            text += f"; difference {'; '.join(shown)}"
        said.append(f"{text}.")
    return said


def _difference(row: Row) -> str:
    between = limits(row)
    return f"{signed(row['difference'])}{f' ({between})' if between else ''} by {TEST_NAMES[row['test']]}"


def consistency_sentences(view: SeverityView) -> list[str]:
    """Return what the check of printed values found, for the paper's rows and for ours."""
    said = []
    paper = [r for r in view.consistency if r.get("source") != "ours"]
    for name in dict.fromkeys(r["name"] for r in paper):
        mine = [r for r in paper if r["name"] == name]
        passed = [AVERAGE.get(r["average"], r["average"]) for r in mine if r.get("passes") == "1"]
        misses = {own: _least(mine, own=own) for own in (False, True)}
        if passed:
            said.append(f"The paper's row of {name} passes ({', '.join(passed)}).")
            continue
        text = f"The paper's row of {name} passes under no definition"
        if misses[False] is not None:
            text += f": under any single one, some value is off by {value(misses[False])} or more"
        if misses[True] is not None:
            text += f"; with a definition for each value, by {value(misses[True], 4)}"
        said.append(f"{text}.")
    if paper and not any(r.get("passes") == "1" for r in paper):
        said.append(
            "Its values are then not of the same patients at the same cut under one definition. Definitions "
            "mixed in one row, or means over several models, would look like this. Single values may be "
            "right, but which is what cannot be known, so that only its AUC is set beside ours."
        )
    ours = [r.get("passes") == "1" for r in view.consistency if r.get("source") == "ours"]
    if ours:
        failed = len(ours) - sum(ours)
        passing = f"Ours pass ({len(ours)} of {len(ours)})."
        said.append(f"Do not trust ours: {failed} of {len(ours)} rows fail." if failed else passing)
    return said


def _least(rows: Sequence[Row], *, own: bool) -> float | None:
    known = [to_float(r.get("distance")) for r in rows if (r["average"] == "any") == own]
    return min((one for one in known if one is not None), default=None)


def seen_sentences(view: SeverityView) -> list[str]:
    """Return what was measured of where the network looked, in words."""
    found = {r["measure"]: r for r in view.saliency_summary if to_float(r.get("n"))}
    said = list(dict.fromkeys(r["note"] for r in view.saliency_summary if r.get("note")))
    if row := found.get("pointing_hit"):
        said.append(
            f"Pointing game, {row['n']} patients with a lesion: {_percent(row['mean'])} hits, "
            f"{_percent(row['chance'])} by chance; difference {with_limits(row, 3, 'value')}."
        )
    if row := found.get("energy"):
        said.append(
            f"Energy in the lesion, {row['n']} patients: {_percent(row['mean'])} of the map, "
            f"{_percent(row['chance'])} by chance; {with_limits(row, 2, 'value')} times as much."
        )
    if row := found.get("share_outside_brain"):
        said.append(f"Outside the brain: {_percent(row['mean'])} of the map.")
    if row := found.get("stability"):
        said.append(f"Stability over the networks of a fold: {with_limits(row, 2, 'value')}.")
    return said


def _percent(text: object) -> str:
    share = to_float(text)
    return "not estimable" if share is None else f"{value(100 * share, 1)} %"
