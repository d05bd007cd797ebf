"""How to read each part of the page of a study that predicts voxels, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reperfuse.reporting.pages import number, to_float
from reperfuse.reporting.study_view import count, limits, value
from reperfuse.reporting.voxel_view import BALANCED, DENSE, PATIENT, VoxelView

READING: Mapping[str, Sequence[str]] = {
    "paper": (
        "The balanced sample holds as many voxels with HT as without, as the paper has it; real brains do "
        "not.",
        "Voxels of one patient are alike, so that the patient is the unit of every interval. The interval "
        "over voxels is "
        "printed beside it because papers report such; it is far too narrow.",
        "An AP can only be judged beside its prevalence, which is what chance gives. The paper's AP for "
        "linear regression "
        "(44 %) lies below one half and cannot be of a sample that is half HT.",
    ),
    "roc": (
        "Fig. 2 of the paper: ROC and precision–recall curves of pooled out-of-fold predictions. Heavy: the "
        "primary "
        "comparison.",
    ),
    "dense": (
        "All brain voxels of patients who took no part in training, at the share of HT that brains have: the "
        "AP that a "
        "reader of such maps would meet. It is small because HT is rare; read it as a multiple of the "
        "prevalence.",
    ),
    "within": (
        "Does the map tell where in a brain it will bleed, or only in whom? A model that knows patients "
        "apart, by scanner, "
        "by contrast agent or by their artery, has a high AUC over all voxels and 0.5 inside patients.",
    ),
    "occurrence": (
        "From the map of each held-out patient to a single score: will there be any HT? One patient, one "
        "value.",
    ),
    "severity": (
        "Each dot is a held-out patient. On the dashed line, as much bleeds as predicted. Probabilities of a "
        "model that "
        "was trained on a balanced sample are far too high; where possible, volumes are at the true "
        "prevalence of the "
        "other folds' patients.",
    ),
    "calibration": (
        "On the diagonal, a likelihood of 70 % comes true in 70 of 100 voxels. A model trained on a balanced "
        "sample "
        "is calibrated for that sample only; the last panel shows it after correction to the true "
        "prevalence. Bars: "
        "over patients.",
    ),
    "strata": (
        "Reperfusion (TICI) happens after the images and is no input of any system; it changes what follows. "
        "Strata "
        "with few patients are not estimated.",
    ),
    "burden": (
        "Mean volume over all held-out patients. Eloquent regions, with a dot, are those that the "
        "configuration names.",
    ),
    "comparisons": (
        "The primary comparison, in bold, was declared before scoring. All others are exploratory: read the "
        "adjusted p, "
        "which allows for their number.",
    ),
    "likelihood": (
        "Predicted by the model that never saw the patient, on the grid of the perfusion series; the GRE of "
        "J1 above it "
        "was no input. The likelihood is as trained, on a sample that is half HT: it ranks places and is no "
        "risk in "
        "per cent.",
    ),
    "searched": (
        "Hyper-parameters were chosen by patients inside each training set, never on held-out ones.",
    ),
    "assumptions": ("Another reasonable choice of these values could give other results.",),
}
WORDS: Mapping[str, str] = {
    "HT": "haemorrhagic transformation: bleeding into the infarct, on the GRE of J1.",
    "PWI, DWI, AIF": "curves of 3 × 3 voxels of the perfusion series over 60 time points; b0 and b1000 of "
    "the same voxels; "
    "the arterial input function, the same for all voxels of a patient.",
    "map_…": "one map alone as a score: no model is fitted.",
    "roi_k2": "one value for each patient: mean leakage (K2) where Tmax > 6 s.",
    "K2": "leakage by Boxerman and Weisskoff; it stands where the literature has Ktrans, and is none.",
    "AUC": "the share of pairs, one voxel (or patient) with HT and one without, that are ranked rightly; 0.5 "
    "is chance.",
    "AP": "average precision, the area below the precision–recall curve; the prevalence is chance.",
    "prevalence": "share of voxels (or patients) with HT.",
    "95 % CI over patients": "whole patients are drawn again, with all their voxels.",
    "ECASS class": "HI1, HI2: petechial; PH1, PH2: haematoma, PH2 above 30 % of the infarct. From a mask by "
    "its share "
    "of the infarct, where no reader's class is given.",
}
LIMITS: Sequence[str] = (
    "Effective sample size is the number of patients with HT, not of voxels.",
    "HT was marked by hand on the GRE of the next day; what bled later, or is no longer seen, counts as "
    "none.",
    "Treatment and reperfusion come after the images and change who bleeds; no system knows of them.",
    "A patient's artery is the same in all voxels and may tell patients apart: see the AUC within patients.",
    "Follow-up images are aligned rigidly: where the brain swells, HT and perfusion do not lie on each "
    "other.",
    "Cross-validation in one cohort is no external validation. Predictions must not guide treatment.",
)


def summary(view: VoxelView) -> list[str]:
    """Return what the chief configuration reaches, in words: voxels, whole brains, within patients, "
    "patients."""
    name = view.named(view.chief)
    said = []
    for kind, where in ((BALANCED, "the balanced sample"), (DENSE, "every brain voxel")):
        mine = view.on(kind)
        auc, ap = (mine.estimate(view.chief, m, "pooled") for m in ("auc", "average_precision"))
        if auc:
            said.append(
                f"{name}, {where} of held-out patients: AUC {_with(auc)}, AP {_with(ap)} at a prevalence of "
                f"{_percent(ap.get('prevalence'))} ({count(auc.get('n'))} voxels of "
                f"{count(auc.get('n_patients'))} "
                f"patients, {count(auc.get('n_patients_positive'))} of them with HT)."
            )
        inside = mine.estimate(view.chief, "auc", "within_patient")
        if inside:
            said.append(f"Within patients with HT, {where}: mean AUC {_with(inside)}.")
        infarct = mine.estimate(view.chief, "auc", "within_infarct")
        if infarct:
            said.append(
                "Within the infarct of patients with HT, where it does not help to find the infarct: mean AUC "
                f"{_with(infarct)}."
            )
    mine = view.on(PATIENT)
    for score in ("max_cluster", "volume"):
        auc = mine.estimate(f"{view.chief}/{score}", "auc", "pooled")
        if auc:
            what = "the highest cluster" if score == "max_cluster" else "the predicted volume"
            said.append(f"Which patients bleed, by {what} of the map: AUC {_with(auc)}.")
    return said


def _with(row: Mapping[str, str]) -> str:
    between = limits(row)
    return value(row.get("estimate")) + (f" (95 % CI over patients {between})" if between else "")


def _percent(text: object) -> str:
    share = to_float(text)
    return "unknown" if share is None else f"{number(100 * share, 2 if share < 0.1 else 0)} %"
