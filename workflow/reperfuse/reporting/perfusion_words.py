"""What the perfusion section's measures, flags and lines mean, for those who read the page."""

from __future__ import annotations

CONTOURS = {
    "t4": "Tmax 4 s",
    "t6": "Tmax 6 s",
    "t8": "Tmax 8 s",
    "t10": "Tmax 10 s",
    "core": "core",
}
MEANINGS = {
    "core": (
        "Core (ADC < 620)",
        "Diffusion core, cleaned. No single ADC cut is the core: after early reperfusion part of it may recover.",
    ),
    "tmax6": (
        "Tmax > 6 s",
        "Critically hypoperfused tissue, the core included: at risk if blood does not return.",
    ),
    "mismatch": ("Mismatch volume", "Tmax > 6 s minus core: an estimate of what can be saved."),
    "mismatch_ratio": ("Mismatch ratio", "Tmax > 6 s divided by core."),
    "hir": (
        "Hypoperfusion intensity ratio",
        "Tmax > 10 s divided by Tmax > 6 s: the lower, the better the collaterals (median 0.4 in DEFUSE 2).",
    ),
    "cbv_index": (
        "CBV index",
        "Mean CBV where Tmax > 6 s, divided by that of normal tissue: the higher, the better the collaterals.",
    ),
    "rttp": (
        "rTTP > {limit} s",
        "A cross-check that needs no artery: near Tmax > 6 s if the AIF is sound.",
    ),
    "tmax4": ("Tmax > 4 s", "Includes tissue with benign delay."),
    "tmax8": ("Tmax > 8 s", "Severely delayed."),
    "tmax10": ("Tmax > 10 s", "Most severely delayed."),
}
RULE_TITLES = {"defuse3": "DEFUSE 3 target mismatch", "extend": "EXTEND mismatch"}
RULE_MEANINGS = {
    "defuse3": "Core < 70 ml, ratio ≥ 1.8, mismatch ≥ 15 ml. The imaging part only: not the trial's window, "
    "vessel or clinical criteria.",
    "extend": "Core < 70 ml, ratio > 1.2, mismatch > 10 ml. The imaging part only: not the trial's window or "
    "clinical criteria.",
}
SOURCES = {"automatic": "found automatically", "mask": "given mask", "file": "given curve"}
# The words that the step uses for its flags, and what a reader has to know.
FLAGS = {
    "motion": "The head moved during the series: read the maps with the motion plot beside them.",
    "no timing": "When the time points were taken, or the echo time, is not known: there are no curves and no maps.",
    "no bolus": "No bolus was found, or it was there from the first time points: there is no baseline, and there are "
    "no maps.",
    "no AIF": "No artery could be found: there are no CBF, CBV, MTT and Tmax, and no mismatch from them.",
    "truncated bolus": "The series ends before the bolus has passed: CBV, MTT and leakage are less certain.",
    "short series": "The series is shorter than the curves that are made of it: the last value is held.",
    "rTTP and Tmax disagree": "rTTP, which needs no artery, and Tmax disagree: doubt the arterial input function.",
    "unusable voxels": "Many voxels of the brain have no usable curve; they are grey on the maps.",
}
