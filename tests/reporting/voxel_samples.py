"""Made-up tables of a study that predicts voxels, with the columns that such a study writes."""

from __future__ import annotations

from typing import Any

import numpy as np

FIRST, SECOND = "lstm_pwi+aif+dwi", "svm"
CONFIGURATIONS = {
    "lstm_pwi": (0.80, "0.831 ± 0.029"),
    "lstm_pwi+aif": (0.78, "0.796 ± 0.026"),
    FIRST: (0.88, "0.894 ± 0.043"),
    "linear": (0.66, "0.585 ± 0.075"),
    SECOND: (0.83, "0.821 ± 0.029"),
    "map_k2": (0.72, ""),
}
BALANCED, DENSE, PATIENT = "ht voxel (balanced)", "ht voxel (dense)", "ht patient"
STAMP = "a phantom: nobody bled"
COLUMNS = {
    "metrics": "target configuration split metric estimator estimate ci_low ci_high interval fold_sd n n_positive "
    "paper prevalence n_patients n_patients_positive binning_error note",
    "metrics_by_fold": "target configuration split repeat fold metric estimate n n_positive prevalence",
    "metrics_by_subject": "target configuration split participant_id fold metric estimate n n_positive prevalence",
    "comparisons": "target metric first second split test role difference ci_low ci_high statistic p p_adjusted n "
    "n_positive note",
    "roc": "target configuration split fpr tpr threshold",
    "pr": "target configuration split recall precision threshold prevalence",
    "calibration": "target configuration stage bin mean_score observed ci_low ci_high n",
    "strata": "target configuration variable level n n_positive n_voxels auc ci_low ci_high average_precision "
    "prevalence p_differs",
    "patients": "configuration participant_id fold ht ecass ecass_source heidelberg observed_ml predicted_ml "
    "predicted_corrected_ml max_cluster dice auc average_precision tici",
    "severity": "configuration quantity against subset estimate ci_low ci_high interval n note",
    "burden": "configuration atlas label name side eloquent n_patients n_with_ht observed_ml predicted_ml "
    "predicted_corrected_ml spearman ci_low ci_high",
    "searched": "fold configuration parameters auc chosen",
    "left_out": "participant_id stage reason",
    "leakage": "fold configuration object n_fits n_seen_min n_seen_max n_overlap",
    "tripod": "item section topic text status",
    "predictions": "participant_id session_id target configuration split repeat fold y_true y_score",
}
N, POSITIVE, FOLDS = 30, 12, 5


def plausible(*, empty: bool = False) -> dict[str, Any]:
    """Return summary and tables; with ``empty`` nothing could be estimated."""
    random = np.random.default_rng(5)
    t: dict[str, Any] = {name: [] for name in COLUMNS}
    for name, (value, paper) in CONFIGURATIONS.items():
        _metrics(t, name, None if empty else value, paper, random)
        if not empty:
            _curves(t, name, value)
        for fold, n in ((1, 24), (2, 25)):
            seen = {"fold": fold, "n_fits": 1, "n_seen_min": n, "n_seen_max": n, "n_overlap": 0}
            t["leakage"].append({"configuration": name, "object": "scaler", **seen})
        found = {"fold": 1, "configuration": name, "parameters": '{"C": 1}', "auc": 0.8, "chosen": True}
        t["searched"].append(found)
    if not empty:
        _people(t, random)
        _rest(t, random)
    t["left_out"] = [
        {"participant_id": f"sub-9{i}", "stage": "perfusion", "reason": "no bolus"} for i in range(3)
    ]
    t["tripod"] = [
        {"item": "1", "section": "Title", "topic": "Title", "text": "", "status": "to be completed"}
    ]
    t["summary"] = {
        "title": "Haemorrhagic transformation by voxel",
        "n": N,
        "n_positive": POSITIVE,
        "target": BALANCED,
        "primary": {"first": FIRST, "second": SECOND},
        "primary_test": "patient_bootstrap",
        "stamps": [STAMP],
        "assumptions": {"lstm.lr": 0.001},
        "sources": {"paper": "Yu et al., MICCAI 2019"},
    }
    return t


def _metrics(t: dict[str, Any], name: str, value: float | None, paper: str, random: Any) -> None:
    known = value is not None
    for target, share, scale in ((BALANCED, 0.5, 0.95), (DENSE, 0.002, 0.04)):
        if target == DENSE and name not in (FIRST, "map_k2"):
            continue
        head = {"target": target, "configuration": name, "split": "cv", "n": 5000, "n_positive": 2500}
        head |= {"prevalence": share, "n_patients": N, "n_patients_positive": POSITIVE}
        for metric, factor in (("auc", 1.0), ("average_precision", scale)):
            middle = None if value is None else value * factor
            for estimator, half in (("pooled", 0.06), ("pooled_voxels", 0.005), ("within_patient", 0.08)):
                if estimator == "within_patient" and metric != "auc":
                    continue
                if estimator == "within_patient" and middle is not None:
                    middle -= 0.1
                row = {"metric": metric, "estimator": estimator, "estimate": middle}
                row |= {"ci_low": None if middle is None else middle - half * factor}
                row |= {"ci_high": None if middle is None else min(middle + half * factor, 1.0)}
                row["paper"] = paper if metric == "auc" and estimator == "pooled" and share == 0.5 else ""
                t["metrics"].append(head | row)
            middle = None if value is None else value * factor
            t["metrics"].append(
                head | {"metric": metric, "estimator": "fold_mean", "estimate": middle}
                | {"fold_sd": 0.05 if known else None}
            )  # fmt: skip
            for fold in range(1, FOLDS + 1):
                found = None if middle is None else middle + float(random.normal(0, 0.03))
                t["metrics_by_fold"].append(
                    head | {"repeat": 1, "fold": fold, "metric": metric, "estimate": found}
                )
        if known:
            t["metrics_by_subject"] += [
                head
                | {"participant_id": f"sub-{i:02d}", "fold": 1 + i % FOLDS, "metric": "auc"}
                | {"estimate": float(np.clip((value or 0) - 0.1 + random.normal(0, 0.08), 0, 1))}
                for i in range(POSITIVE)
            ]


def _curves(t: dict[str, Any], name: str, value: float) -> None:
    power = 1 / value - 1
    for target, share in ((BALANCED, 0.5), (DENSE, 0.002)):
        if target == DENSE and name not in (FIRST, "map_k2"):
            continue
        head = {"target": target, "configuration": name, "split": "cv"}
        for fpr in np.linspace(0, 1, 41):
            tpr = float(fpr**power)
            t["roc"].append(head | {"fpr": float(fpr), "tpr": tpr, "threshold": 1 - float(fpr)})
            hits, alarms = share * tpr, (1 - share) * float(fpr)
            if hits + alarms:
                row = {"recall": tpr, "precision": hits / (hits + alarms), "prevalence": share}
                t["pr"].append(head | row | {"threshold": 1 - float(fpr)})
        stages = {"as trained": 1.0} | ({"at true prevalence": share} if target == DENSE else {})
        for stage, factor in stages.items():
            for place, middle in enumerate(np.linspace(0.05, 0.95, 8)):
                seen = float(middle * share / 0.5)
                row = {
                    "stage": stage,
                    "bin": place + 1,
                    "mean_score": float(middle * factor),
                    "observed": seen,
                }
                t["calibration"].append(
                    head | row | {"ci_low": 0.8 * seen, "ci_high": min(1.2 * seen, 1), "n": 99}
                )


def _people(t: dict[str, Any], random: Any) -> None:
    grades = ("HI1", "HI2", "PH1", "PH2")
    for name in (FIRST, "map_k2"):
        for i in range(N):
            ht = i < POSITIVE
            observed = float(random.lognormal(0.5, 1)) if ht else 0.0
            predicted = 20 + 10 * observed + float(random.normal(0, 3))
            row = {
                "configuration": name,
                "participant_id": f"sub-{i:02d}",
                "fold": 1 + i % FOLDS,
                "ht": int(ht),
            }
            row |= {"ecass": grades[i % 4] if ht else "none", "ecass_source": "table", "heidelberg": "1a"}
            row |= {
                "observed_ml": observed,
                "predicted_ml": predicted,
                "predicted_corrected_ml": predicted / 30,
            }
            row |= {"max_cluster": 0.9 if ht else 0.6, "auc": 0.8 if ht else None, "tici": "2b"}
            t["patients"].append(row)
        for score, value in (("max_cluster", 0.77), ("volume", 0.71)):
            head = {
                "target": PATIENT,
                "configuration": f"{name}/{score}",
                "split": "cv",
                "estimator": "pooled",
            }
            head |= {"n": N, "n_positive": POSITIVE, "prevalence": POSITIVE / N, "estimate": value}
            t["metrics"] += [
                head | {"metric": metric, "ci_low": value - 0.1, "ci_high": value + 0.1}
                for metric in ("auc", "average_precision")
            ]
        for against, value in (("observed_ml: spearman", 0.61), ("ecass: median of PH2", 3.2)):
            row = {"configuration": name, "quantity": "predicted_ml", "against": against, "subset": "all"}
            t["severity"].append(row | {"estimate": value, "ci_low": 0.3, "ci_high": 0.8, "n": N})


def _rest(t: dict[str, Any], random: Any) -> None:
    for second in (name for name in CONFIGURATIONS if name != FIRST):
        for metric in ("auc", "average_precision"):
            primary = second == SECOND and metric == "auc"
            row = {"target": BALANCED, "metric": metric, "first": FIRST, "second": second, "split": "cv"}
            row |= {"test": "patient_bootstrap", "role": "primary" if primary else "secondary", "n": N}
            row |= {"difference": 0.05, "ci_low": -0.01, "ci_high": 0.1, "p": 0.08, "p_adjusted": 0.2}
            t["comparisons"].append(row | {"note": "2000 draws of patients"})
    for variable, levels in {"tici": ("0", "2b", "3", "not known"), "vendor": ("A", "B")}.items():
        for level in levels:
            auc = None if level == "0" else 0.8 + float(random.normal(0, 0.03))
            row = {"target": BALANCED, "configuration": FIRST, "variable": variable, "level": level, "n": 10}
            row |= {"n_positive": 4, "auc": auc, "ci_low": auc and auc - 0.1, "ci_high": auc and auc + 0.1}
            t["strata"].append(row | {"average_precision": auc, "prevalence": 0.5, "p_differs": 0.4})
    for place, name in enumerate(("MCA", "lentiform nucleus", "insula")):
        row = {"configuration": FIRST, "atlas": "Territories", "label": place, "name": name, "side": "left"}
        row |= {
            "eloquent": name == "insula",
            "n_patients": N,
            "n_with_ht": 4,
            "observed_ml": 0.4 - 0.1 * place,
        }
        row |= {"predicted_ml": 2.0, "predicted_corrected_ml": 0.3, "spearman": 0.5, "ci_low": 0.1}
        t["burden"].append(row | {"ci_high": 0.8})
