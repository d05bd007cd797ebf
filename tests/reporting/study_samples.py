"""Made-up tables of a study: one that is plausible, one that is empty, one where nothing can be estimated."""

from __future__ import annotations

from typing import Any

import numpy as np
from study_folder import COLUMNS

FIRST, SECOND = "B_mri+clinical+lesion", "A_mri+clinical+lesion"
SIGNAL = {
    "A_mri": 0.1,
    "A_clinical": 1.1,
    "A_mri+clinical": 1.2,
    SECOND: 1.3,
    "B_mri": 0.7,
    "B_clinical": 1.4,
    "B_mri+clinical": 1.6,
    FIRST: 1.8,
    "B-A_mri+clinical+lesion": 1.5,
    "nihss_24h": 1.4,
    "age+nihss": 1.0,
}
PAPER = {FIRST: "0.923±0.085", "B_mri": "0.714±0.105", "A_mri": "0.540±0.263", SECOND: "at most 0.86"}
PAPER["B_mri+clinical"] = "0.901±0.085 (row uncertain)"
STAMP = "NOT MedicalNet: random weights, seed 1"
N, POSITIVE, FOLDS = 74, 40, 8

Table = list[dict[str, Any]]


def auc_of(y: np.ndarray, score: np.ndarray) -> float | None:
    """Return the share of pairs that are in order."""
    if y.all() or not y.any():
        return None
    more = score[y == 1][:, None] - score[y == 0][None, :]
    return float((more > 0).mean() + 0.5 * (more == 0).mean())


def _metric(name: str, metric: str, estimator: str, estimate: float | None, half: float, **more: Any) -> Any:
    known = estimate is not None
    row = {"target": "mrs_3m<=1", "configuration": name, "split": "cv", "metric": metric, "n": N}
    row |= {"estimator": estimator, "estimate": estimate, "n_positive": POSITIVE, "interval": "delong_logit"}
    row |= {
        "ci_low": estimate - half if known else None,
        "ci_high": min(estimate + half, 1) if known else None,
    }
    return row | more


def plausible(*, one_class: bool = False) -> dict[str, Any]:
    """Return summary and tables; with ``one_class`` every label is 1, so that nothing can be estimated."""
    random = np.random.default_rng(3)
    y = np.array([1] * POSITIVE + [0] * (N - POSITIVE)) | int(one_class)
    fold = random.permutation(N) % FOLDS + 1
    scores = {c: 1 / (1 + np.exp(-(s * (y - 0.5) + random.normal(0, 0.8, N)))) for c, s in SIGNAL.items()}
    t: dict[str, Any] = {name: [] for name in COLUMNS}
    for name, score in scores.items():
        variants = [name] + [f"{name}[{s}]" for s in ("pca=4", "c=1", "order=concat") if "mri" in name]
        for place, variant in enumerate(variants):
            _metrics(t, variant, y, score if not place else score + random.normal(0, 0.1, N), fold)
        t["predictions"] += [
            {
                "participant_id": f"sub-{i}",
                "session_id": "ses-01",
                "target": "mrs_3m<=1",
                "configuration": name,
            }
            | {
                "split": "cv",
                "repeat": 1,
                "fold": int(fold[i]),
                "y_true": int(y[i]),
                "y_score": float(score[i]),
            }
            for i in range(N)
        ]
        t["leakage"] += [
            {
                "configuration": name,
                "object": item,
                "n_fits": 8,
                "n_seen_min": 64,
                "n_seen_max": 65,
                "n_overlap": 0,
            }
            for item in ("scaler", "components")
        ]
        if not one_class:
            _curves(t, name, y, score, random)
    for first, second, role in ((FIRST, SECOND, "primary"), ("B_mri", "A_mri", "secondary")):
        a, b = auc_of(y, scores[first]), auc_of(y, scores[second])
        gain = None if a is None or b is None else a - b
        for test, p in (
            ("delong", 0.0423),
            ("label_swap", 0.051),
            ("corrected_t", 0.214),
            ("naive_t", 0.0089),
        ):
            row = {"target": "mrs_3m<=1", "first": first, "second": second, "split": "cv", "test": test}
            row |= {"role": role, "difference": gain, "ci_low": None if gain is None else gain - 0.08}
            row |= {"ci_high": None if gain is None else gain + 0.08, "statistic": None if one_class else 1.9}
            row |= {"p": None if one_class else p, "p_adjusted": None if one_class else min(1, 2 * p), "n": N}
            t["comparisons"].append(
                row | {"note": "too optimistic: folds share patients" if test == "naive_t" else ""}
            )
    _rest(t, random, one_class)
    t["summary"] = {
        "title": "Favourable outcome at three months (surrogate: mRS at discharge)",
        "n": N,
        "n_positive": POSITIVE,
        "target": "mrs_3m<=1",
        "primary": {"first": FIRST, "second": SECOND},
        "notices": ["The outcome is the mRS at discharge, which stands in for the mRS at three months."],
        "stamps": [STAMP],
        "power": {
            "sentence": "A true difference of 0.12 or more could be found with a power of 80 %.",
            "alpha": 0.05,
        },
        "assumptions": {"features.components": 12, "platt.folds": 5, "clip_adc": [0, 3000]},
        "sources": {"paper": "arXiv 2512.02088", "weights": "random"},
    }
    return t


def _metrics(t: dict[str, Any], name: str, y: np.ndarray, score: np.ndarray, fold: np.ndarray) -> None:
    folds = []
    for repeat in (1, 2, 3):
        places = np.roll(fold, 7 * (repeat - 1))
        for k in range(1, FOLDS + 1):
            here = places == k
            value = auc_of(y[here], score[here])
            row = {"target": "mrs_3m<=1", "configuration": name, "split": "cv", "repeat": repeat, "fold": k}
            row |= {
                "metric": "auc",
                "estimate": value,
                "n": int(here.sum()),
                "n_positive": int(y[here].sum()),
            }
            t["metrics_by_fold"].append(row)
            folds += [value] if repeat == 1 and value is not None else []
    mean, sd = (float(np.mean(folds)), float(np.std(folds, ddof=1))) if folds else (None, None)
    pooled = auc_of(y, score)
    t["metrics"].append(_metric(name, "auc", "fold_mean", mean, 0.1, fold_sd=sd, paper=PAPER.get(name)))
    t["metrics"].append(_metric(name, "auc", "pooled", pooled, 0.09, paper=PAPER.get(name)))
    for place, metric in enumerate(
        (
            "average_precision",
            "accuracy",
            "balanced_accuracy",
            "f1",
            "sensitivity",
            "specificity",
            "ppv",
            "npv",
            "brier",
            "brier_skill",
            "calibration_slope",
            "calibration_intercept",
            "calibration_in_the_large",
            "ici",
            "e50",
            "e90",
            "ece",
        )
    ):
        found = None if pooled is None else (pooled - 0.02 * place if place < 8 else 0.2)
        t["metrics"].append(_metric(name, metric, "pooled", found, 0.08))


def _curves(t: dict[str, Any], name: str, y: np.ndarray, score: np.ndarray, random: Any) -> None:
    for cut in [2.0, *sorted(set(score), reverse=True)]:
        tpr, fpr = float((score[y == 1] >= cut).mean()), float((score[y == 0] >= cut).mean())
        t["roc"].append(
            {"configuration": name, "split": "cv", "fpr": fpr, "tpr": tpr, "threshold": float(cut)}
        )
    order = np.argsort(score)
    for stage, shrink in (("before", 1.6), ("after", 1.0)):
        for number, part in enumerate(np.array_split(order, 6), start=1):
            mean, seen = float(score[part].mean()), float(y[part].mean())
            mean = float(np.clip(0.5 + shrink * (mean - 0.5), 0.01, 0.99))
            row = {"configuration": name, "stage": stage, "bin": number, "mean_score": mean, "observed": seen}
            row |= {"ci_low": max(seen - 0.2, 0.0), "ci_high": min(seen + 0.2, 1.0), "n": len(part)}
            t["calibration"].append(row)
    for threshold in np.arange(0.05, 0.61, 0.01):
        odds = threshold / (1 - threshold)
        inside = score >= threshold
        gain = float((y[inside].sum() - (1 - y[inside]).sum() * odds) / N)
        both = {name: gain, "treat all": float(y.mean() - (1 - y.mean()) * odds), "treat none": 0.0}
        t["decision"] += [
            {"configuration": c, "threshold": float(threshold), "net_benefit": v}
            for c, v in both.items()
            if c == name or name == FIRST
        ]
    if name in (FIRST, SECOND):
        features = [("nihss_motor_arm_left", "clinical"), ("age", "clinical"), ("nihss_total", "clinical")]
        features += [(f"PC{i}", "mri") for i in range(1, 13)] + [
            ("log_v620", "lesion"),
            ("glucose", "clinical"),
        ]
        for rank, (feature, block) in enumerate(features, start=1):
            size = float(random.normal(0, 0.5) / rank**0.5)
            row = {
                "configuration": name,
                "feature": feature,
                "block": block,
                "coefficient": size,
                "rank": rank,
            }
            row |= {"ci_low": size - 0.2, "ci_high": size + 0.2, "sign_stability": max(1 - 0.04 * rank, 0.5)}
            t["coefficients"].append(row)
        for parameter, values in (
            ("components", [4, 8, 12, 16]),
            ("c", [0.01, 0.1, 1, 10]),
            ("kernel", ["linear", "rbf"]),
        ):
            for value in values:
                mean = 0.8 + float(random.normal(0, 0.02))
                row = {"configuration": name, "parameter": parameter, "value": value, "auc_fold_mean": mean}
                row |= {
                    "auc_fold_sd": 0.1,
                    "auc_pooled": mean - 0.01,
                    "ci_low": mean - 0.1,
                    "ci_high": mean + 0.08,
                }
                t["sweep"].append(row | {"n_features": 30})
        row = {"configuration": name, "lesion": "raw", "against": "as configured", "fold_sd": 0.12, "p": 0.41}
        t["spread"].append(
            row | {"fold_sd_against": 0.1, "ratio": 1.2, "ci_low": 0.7, "ci_high": 2.1, "n": 8}
        )
        for variable, levels in (
            ("sex", ("female", "male")),
            ("age", ("< 60", "60–75", "> 75")),
            ("side", ("left", "right")),
            ("treatment", ("thrombolysis", "none")),
        ):
            for level in levels:
                auc = None if level == "> 75" else 0.8 + float(random.normal(0, 0.06))
                row = {"configuration": name, "variable": variable, "level": level, "n": 30, "n_positive": 14}
                row |= {
                    "auc": auc,
                    "brier": 0.2,
                    "ci_low": auc and auc - 0.15,
                    "ci_high": auc and min(auc + 0.1, 1),
                }
                t["subgroups"].append(row)
        for epsilon in (0.1, 0.2):
            for label, n in (("0", N - POSITIVE), ("1", POSITIVE), ("all", N)):
                row = {
                    "configuration": name,
                    "epsilon": epsilon,
                    "label": label,
                    "n": n,
                    "coverage": 1 - epsilon + 0.02,
                }
                t["conformal"].append(row | {"singleton": 0.5, "empty": 0.0, "both": 0.5})
        observed = auc_of(y, score)
        t["permutation"].append({"configuration": name, "draw": 0, "auc": observed})
        t["permutation"] += [
            {"configuration": name, "draw": d, "auc": float(random.normal(0.5, 0.07))} for d in range(1, 201)
        ]


def _rest(t: dict[str, Any], random: Any, one_class: bool) -> None:
    t["ordinal"] = [
        {
            "configuration": FIRST,
            "quantity": "Spearman correlation with the mRS",
            "estimate": None if one_class else -0.61,
        }
        | {"ci_low": -0.74, "ci_high": -0.43, "n": N, "note": ""}
    ]
    t["selection"] = [
        {"variable": variable, "group": group, "summary": text, "n": n, "smd": 0.31}
        for variable, texts in (
            ("age (years)", ("68 (59 to 77)", "73 (61 to 82)")),
            ("NIHSS at J0", ("9 (4 to 15)", "12 (5 to 19)")),
        )
        for (group, n), text in zip((("with J1", 74), ("without J1", 31)), texts, strict=True)
    ]
    t["selection_reasons"] = [{"reason": "no J1 image", "n": 31}, {"reason": "mRS is missing", "n": 12}]
    t["flags"] = [
        {
            "flag": "one_class_folds",
            "configuration": FIRST,
            "value": 0,
            "limit": 0,
            "raised": 0,
            "sentence": "No fold has one class.",
        },
        {
            "flag": "few_events",
            "configuration": FIRST,
            "value": 1.2,
            "limit": 10,
            "raised": 1,
            "sentence": "1.2 events per parameter.",
        },
    ]
    t["tripod"] = [
        {
            "item": "1",
            "section": "Title",
            "topic": "Title",
            "text": "Identify the study.",
            "status": "from this run",
        },
        {"item": "3a", "section": "Background", "topic": "Context", "text": "", "status": "to be completed"},
    ]
    t["saliency"] = [
        {
            "participant_id": "sub-3",
            "session_id": "ses-02",
            "visit": "J1",
            "configuration": FIRST,
            "fold": 2,
            "y_true": 1,
            "y_score": 0.93,
            "correct": 1,
            "stability": None if one_class else 0.41,
            "file": "sub-3_ses-02_desc-saliency_map.nii.gz",
        }
    ]
    if not one_class:
        for split, n in (("external:soop", 738),):
            t["metrics"] += [
                _metric(name, metric, "pooled", 0.7, 0.04, split=split, n=n, n_positive=279)
                for name in (FIRST, SECOND)
                for metric in ("auc", "brier", "calibration_slope")
            ]
