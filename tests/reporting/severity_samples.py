"""Made-up tables of the severity study: one that is plausible, and one where nothing can be estimated."""

from __future__ import annotations

from typing import Any

import numpy as np
import study_folder
from study_samples import auc_of

FIRST, SECOND = "ensemble", "log_volume"
SIGNAL = {
    "tractnet": 1.0,
    "resnet18": 0.7,
    SECOND: 0.9,
    "log_volume+age": 0.95,
    "maps": 1.1,
    "hybrid": 1.4,
    FIRST: 1.3,
}
VARIANTS = {"tractnet[no_mamba]": -0.01, "tractnet[no_coordinate]": 0.02, "tractnet[mixture=sum]": -0.03}
TARGET = "nihss>4"
STAMP = "synthetic patients"
N = 120
CIRCULAR = "The network was shown the lesion mask itself."
OWN = {
    "averages": "configuration split threshold average sensitivity specificity ppv npv f1 accuracy auc_scores "
    "auc_labels n n_positive",
    "consistency": "source name split average n worst_metric reported nearest distance passes note",
    "cuts": "configuration cut n n_positive auc ci_low ci_high note",
    "thresholds": "configuration name value from",
    "ablations": "configuration variant auc_fold_mean auc_fold_sd difference ci_low ci_high n_parameters",
    "left_out": "participant_id stage reason",
    "training": "trial configuration member epochs first_loss last_loss n_parameters",
    "randomised": "participant_id layer correlation",
    "saliency_summary": "configuration measure n mean chance compared value ci_low ci_high note",
    "paper": "cohort configuration metric paper split estimator ours ci_low ci_high note",
    "saliency": "participant_id session_id target configuration fold y_true y_score correct stability pointing_hit "
    "pointing_chance energy energy_chance share_outside_brain shown file",
}
COMMON = (
    "predictions metrics metrics_by_fold comparisons roc calibration decision conformal subgroups leakage tripod"
).split()
COLUMNS = {**{name: study_folder.COLUMNS[name] for name in COMMON}, **OWN}
MEASURES = (
    "average_precision accuracy balanced_accuracy f1 sensitivity specificity ppv npv brier brier_skill "
    "calibration_slope calibration_intercept ici"
).split()
LAYERS = "head bottleneck s4 s3 s2 s1 stem".split()

Table = list[dict[str, Any]]


def plausible(*, empty: bool = False, circular: bool = False) -> dict[str, Any]:
    """Return summary and tables; ``empty`` has no rows but those of patients, ``circular`` shows lesion masks."""
    random = np.random.default_rng(3)
    y = (random.random(N) < 0.5).astype(int)
    t: dict[str, Any] = {name: [] for name in COLUMNS}
    t["left_out"] = [
        {"participant_id": "sub-901", "reason": "no image of J0"},
        {"participant_id": "sub-902", "reason": "no image of J0"},
        {"participant_id": "sub-903", "reason": "W119: covers too little of the brain"},
    ]
    t["summary"] = {
        "title": "Minor or non-minor stroke (NIHSS above 4) from images of J0",
        "n": N,
        "n_positive": int(y.sum()),
        "target": TARGET,
        "primary": {"first": FIRST, "second": SECOND},
        "primary_test": "corrected_t",
        "main": list(SIGNAL),
        "notices": ["Images are lesion masks." if circular else "Images are trace images."],
        "stamps": [STAMP],
        "power": {"statement": "A true difference of 0.04 or more could be found with a power of 80 %."},
        "assumptions": {"minor_max": 4, "grid.spacing_mm": [6, 6, 6]},
        "sources": {"paper": "doi 10.1007/s10278-026-01892-5"},
        "external": {"other": {"n_scored": 40, "n_labelled": 38, "n_left_out": 2, "why": "no image of J0"}},
    }
    if empty:
        t["summary"] |= {"external": {}, "power": {}, "n": 0, "n_positive": 0}
        return t
    scores = {c: 1 / (1 + np.exp(-(s * (y - 0.5) + random.normal(0, 0.8, N)))) for c, s in SIGNAL.items()}
    for split, n_folds in (("cv", 8), ("cv:3", 3)):
        for name, score in scores.items():
            _metrics(t, split, n_folds, name, y, score, random)
        _compared(t, split, y, scores)
    t["predictions"] = [
        {
            "participant_id": f"sub-{i:03}",
            "session_id": "ses-01",
            "target": TARGET,
            "configuration": name,
            "split": "cv",
        }
        | {"repeat": 1, "fold": i % 8 + 1, "y_true": int(y[i]), "y_score": float(score[i])}
        for name, score in scores.items()
        for i in range(N)
    ]
    for name, score in scores.items():
        _curves(t, name, y, score)
        _external(t, name)
    _judged(t, y, scores)
    _fitted(t, random)
    _looked(t, y, scores[FIRST], random, circular)
    return t


def _metric(
    split: str, name: str, metric: str, estimator: str, estimate: float | None, **more: Any
) -> dict[str, Any]:
    row = {
        "target": TARGET,
        "configuration": name,
        "split": split,
        "metric": metric,
        "estimator": estimator,
        "n": N,
    }
    row |= {"estimate": estimate, "n_positive": 60, "interval": "delong_logit"}
    low, high = (None, None) if estimate is None else (estimate - 0.05, min(estimate + 0.05, 1.0))
    return row | {"ci_low": low, "ci_high": high} | more


def _metrics(t: Any, split: str, n_folds: int, name: str, y: Any, score: Any, random: Any) -> None:
    places = random.permutation(N) % n_folds
    folds = []
    for repeat in (1, 2):
        for k in range(n_folds):
            here = np.roll(places, 7 * (repeat - 1)) == k
            row = {"target": TARGET, "configuration": name, "split": split, "repeat": repeat, "fold": k + 1}
            row |= {
                "metric": "auc",
                "estimate": auc_of(y[here], score[here]),
                "n": int(here.sum()),
                "n_positive": 8,
            }
            t["metrics_by_fold"].append(row)
            folds += [row["estimate"]] if repeat == 1 else []
    paper = "0.8137" if name == "tractnet" and split == "cv" else ""
    pooled = auc_of(y, score)
    t["metrics"] += [
        _metric(
            split,
            name,
            "auc",
            "fold_mean",
            float(np.mean(folds)),
            fold_sd=float(np.std(folds, ddof=1)),
            paper=paper,
        ),
        _metric(split, name, "auc", "pooled", pooled, paper=paper),
        _metric(split, name, "auc", "repeats", pooled - 0.004, fold_sd=0.006, ci_low=None, ci_high=None),
        *(_metric(split, name, metric, "pooled", 0.7) for metric in MEASURES),
    ]


def _compared(t: Any, split: str, y: Any, scores: Any) -> None:
    for first, second, role in ((FIRST, SECOND, "primary"), ("hybrid", FIRST, "secondary")):
        gain = auc_of(y, scores[first]) - auc_of(y, scores[second])
        role = role if split == "cv" else "secondary"
        for test, p in (
            ("corrected_t", 0.012),
            ("corrected_t_repeats", 0.0003),
            ("delong", 0.004),
            ("naive_t", 0.001),
        ):
            row = {
                "target": TARGET,
                "first": first,
                "second": second,
                "split": split,
                "test": test,
                "role": role,
            }
            row |= {
                "difference": gain,
                "ci_low": gain - 0.03,
                "ci_high": gain + 0.03,
                "statistic": 2.1,
                "p": p,
                "n": N,
            }
            t["comparisons"].append(row | {"p_adjusted": "" if role == "primary" else p * 2})


def _curves(t: Any, name: str, y: Any, score: Any) -> None:
    for cut in [2.0, *sorted(set(score), reverse=True)]:
        rates = {"fpr": float((score[y == 0] >= cut).mean()), "tpr": float((score[y == 1] >= cut).mean())}
        t["roc"].append({"configuration": name, "split": "cv", **rates, "threshold": float(cut)})
    if name not in (FIRST, SECOND):
        return
    for number, part in enumerate(np.array_split(np.argsort(score), 6), start=1):
        mean, seen = float(score[part].mean()), float(y[part].mean())
        row = {"configuration": name, "stage": "after", "bin": number, "mean_score": mean, "observed": seen}
        t["calibration"].append(row | {"ci_low": seen - 0.1, "ci_high": seen + 0.1, "n": len(part)})
    for threshold in np.arange(0.05, 0.61, 0.05):
        odds, inside = threshold / (1 - threshold), score >= threshold
        gain = float((y[inside].sum() - (1 - y[inside]).sum() * odds) / N)
        both = {name: gain} | (
            {"treat all": float(y.mean() - (1 - y.mean()) * odds), "treat none": 0.0} if name == FIRST else {}
        )
        t["decision"] += [
            {"configuration": c, "threshold": float(threshold), "net_benefit": v} for c, v in both.items()
        ]
    for label, n in (("0", 60), ("1", 60), ("all", N)):
        row = {"configuration": name, "epsilon": 0.1, "label": label, "n": n, "coverage": 0.91}
        t["conformal"].append(row | {"singleton": 0.5, "empty": 0.0, "both": 0.5})
    for variable, levels in (
        ("lesion_ml", ("< 1 ml", "1 to 10 ml", "10 to 70 ml", "≥ 70 ml")),
        ("lesion_side", ("left", "right")),
        ("prior_stroke", ("0", "1")),
    ):
        for place, level in enumerate(levels):
            auc = None if level == "≥ 70 ml" else 0.62 + 0.03 * place + (0.04 if name == FIRST else 0)
            row = {
                "configuration": name,
                "variable": variable,
                "level": level,
                "n": 30,
                "n_positive": 14,
                "brier": 0.2,
            }
            t["subgroups"].append(
                row | {"auc": auc, "ci_low": auc and auc - 0.12, "ci_high": auc and auc + 0.12}
            )


def _external(t: Any, name: str) -> None:
    split = "external:other"
    for shown in (name, f"{name}[recalibrated]"):
        t["metrics"] += [
            _metric(split, shown, metric, "pooled", 0.7, n=38, n_positive=20)
            for metric in ("auc", "brier", "calibration_slope")
        ]


def _judged(t: Any, y: Any, scores: Any) -> None:
    for name in scores:
        for threshold in ("0.5", "youden"):
            for place, average in enumerate(("positive", "macro", "weighted")):
                row = {
                    "configuration": name,
                    "split": "cv",
                    "threshold": threshold,
                    "average": average,
                    "n": N,
                }
                row |= dict.fromkeys(
                    "sensitivity specificity ppv npv f1 accuracy".split(), 0.7 + 0.01 * place
                )
                t["averages"].append(row | {"auc_scores": 0.79, "auc_labels": 0.71, "n_positive": 60})
        t["thresholds"] += [
            {"configuration": name, "name": "0.5", "value": 0.5, "from": "fixed"},
            {"configuration": name, "name": "youden", "value": 0.47, "from": "mean of the trials"},
        ]
        for cut in (3, 4, 5):
            auc = 0.74 + 0.01 * cut + 0.02 * (name == FIRST)
            row = {"configuration": name, "cut": cut, "n": N, "n_positive": 80 - 8 * cut, "auc": auc}
            t["cuts"].append(
                row | {"ci_low": auc - 0.04, "ci_high": auc + 0.04, "note": "the label" if cut == 4 else ""}
            )
    t["consistency"] = [
        {
            "source": "paper",
            "name": "AMC",
            "split": "cv",
            "average": "macro",
            "n": 273,
            "worst_metric": "specificity",
        }
        | {"reported": 0.9645, "nearest": 0.9175, "distance": 0.047, "passes": 0, "note": ""},
        {
            "source": "paper",
            "name": "SOOP",
            "split": "external",
            "average": "positive",
            "n": 1106,
            "worst_metric": "npv",
        }
        | {"reported": 0.636, "nearest": 0.671, "distance": 0.035, "passes": 0, "note": ""},
        *(
            {"source": "paper", "name": name, "split": "", "average": "any", "n": 273, "worst_metric": "npv"}
            | {"reported": 0.636, "nearest": 0.635, "distance": 0.001, "passes": 0, "note": ""}
            for name in ("AMC", "SOOP")
        ),
        {"source": "ours", "name": FIRST, "split": "cv", "average": "positive", "n": N, "worst_metric": "f1"}
        | {"reported": 0.7, "nearest": 0.7, "distance": 1e-16, "passes": 1, "note": ""},
    ]
    t["paper"] = [
        {
            "cohort": cohort,
            "configuration": "tractnet",
            "metric": "auc",
            "paper": value,
            "split": split,
            "note": note,
        }
        | {
            "estimator": "pooled" if split else "",
            "ours": 0.763 if split else None,
            "ci_low": 0.71,
            "ci_high": 0.81,
        }
        for cohort, value, split, note in (
            ("AMC", "0.8137", "cv", "paper: cross-validation of 273 patients of AMC"),
            ("SOOP", "0.7094", "", "paper: a model of AMC on 1106 patients of SOOP"),
        )
    ]


def _fitted(t: Any, random: Any) -> None:
    for name, gain in VARIANTS.items():
        row = {"configuration": name, "variant": name.partition("[")[2][:-1], "auc_fold_mean": 0.74 + gain}
        row |= {"auc_fold_sd": 0.04, "difference": gain, "ci_low": gain - 0.03, "ci_high": gain + 0.03}
        t["ablations"].append(row | {"n_parameters": 4_912_345})
    for name in ("tractnet", "resnet18"):
        for trial in ("8-1-1", "8-1-2"):
            for member in (1, 2, 3):
                row = {
                    "trial": trial,
                    "configuration": name,
                    "member": member,
                    "epochs": 40,
                    "n_parameters": 4_912_345,
                }
                t["training"].append(
                    row | {"first_loss": 0.71, "last_loss": float(0.45 + random.uniform(0, 0.05))}
                )
    for name, trial in ((name, trial) for name in SIGNAL for trial in ("8-1-1", "8-1-2")):
        row = {
            "trial": trial,
            "configuration": name,
            "object": "scaling",
            "n_fits": 1,
            "n_seen_min": 104,
            "n_seen_max": 106,
        }
        t["leakage"].append(row | {"n_seen_max": 106, "n_overlap": 0})
    t["tripod"] = [
        {"item": "1", "section": "Title", "topic": "Title", "text": "It says so.", "status": "from this run"}
    ]


def _looked(t: Any, y: Any, score: Any, random: Any, circular: bool) -> None:
    for i in range(12):
        right = bool((score[i] >= 0.5) == y[i])
        row = {
            "participant_id": f"sub-{i:03}",
            "session_id": "ses-01",
            "target": TARGET,
            "configuration": "tractnet",
        }
        row |= {"fold": i % 8 + 1, "y_true": int(y[i]), "y_score": float(score[i]), "correct": int(right)}
        measures = {
            "pointing_hit": int(i % 3 > 0),
            "pointing_chance": 0.12,
            "energy": 0.2,
            "energy_chance": 0.04,
        }
        row |= {} if circular else measures
        row |= {"stability": 0.61, "share_outside_brain": 0.11, "shown": int(i < 4)}
        t["saliency"].append(row | {"file": f"sub-{i:03}_ses-01_desc-saliency_map.nii.gz"})
    kinds = (("pointing_hit", 0.667, 0.12, "difference", 0.547), ("energy", 0.2, 0.04, "ratio", 5.0))
    for measure, mean, chance, compared, value in kinds:
        row = {"configuration": "tractnet", "measure": measure, "n": 0 if circular else 12}
        if circular:
            row["note"] = CIRCULAR
        else:
            row |= {"mean": mean, "chance": chance, "compared": compared, "value": value}
            row |= {"ci_low": 0.7 * value, "ci_high": 1.2 * value}
        t["saliency_summary"].append(row)
    for measure, mean in (("share_outside_brain", 0.11), ("stability", 0.61)):
        row = {
            "configuration": "tractnet",
            "measure": measure,
            "n": 12,
            "mean": mean,
            "compared": "mean",
            "value": mean,
        }
        t["saliency_summary"].append(row | {"ci_low": mean - 0.03, "ci_high": mean + 0.03})
    for i in range(4):
        like = 1.0
        for layer in LAYERS:
            like *= float(random.uniform(0.3, 0.8))
            t["randomised"].append({"participant_id": f"sub-{i:03}", "layer": layer, "correlation": like})
