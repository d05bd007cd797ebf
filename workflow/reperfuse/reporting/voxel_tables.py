"""Tables of a study that predicts voxels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reperfuse.core.tables import Row
from reperfuse.reporting.pages import number, to_float
from reperfuse.reporting.study_tables import Cell, Table, cell, configured, estimated, p_value, stacked
from reperfuse.reporting.study_view import count, limits, mean_sd, readable
from reperfuse.reporting.voxel_view import BALANCED, DENSE, PATIENT, VoxelView

HEADINGS = {
    "ht": "HT",
    "auc": "AUC",
    "ecass": "ECASS class",
    "heidelberg": "Heidelberg class",
    "observed_ml": "Observed (ml)",
    "predicted_ml": "Predicted (ml)",
    "predicted_corrected_ml": "Predicted at true prevalence (ml)",
    "max_cluster": "Highest cluster",
    "share_percent": "% of the infarct",
    "participant_id": "Patient",
    "tici": "TICI",
}


def share(text: object) -> Cell:
    """Return a prevalence's cell in per cent."""
    value = to_float(text)
    if value is None:
        return Cell("", "")
    return Cell(f"{100 * value:.3g} %", str(value))


def paper_table(view: VoxelView) -> Table:
    """Return the paper's table with ours beside it: AUC and average precision, each with its prevalence."""
    mine = view.on(BALANCED)
    rows = []
    for name in mine.main:
        auc, ap = (mine.estimate(name, metric, "pooled") for metric in ("auc", "average_precision"))
        # Second, so that a narrow window does not hide what an AP has to be held against.
        cells = [configured(mine, name), share(ap.get("prevalence"))]
        for metric, pooled in (("auc", auc), ("average_precision", ap)):
            fold, voxels = (mine.estimate(name, metric, one) for one in ("fold_mean", "pooled_voxels"))
            cells += [
                Cell(pooled.get("paper", "")),
                Cell(mean_sd(fold), fold.get("estimate", "")),
                stacked(pooled, 3),
                Cell(limits(voxels), None, "quiet"),
            ]
        rows.append([*cells, Cell(count(auc.get("n")), auc.get("n"))])
    heads = ["System", "Prevalence"]
    for short in ("AUC", "AP"):
        heads += [
            f"{short} in the paper",
            f"{short}, mean ± SD over folds",
            f"{short}, pooled (CI over patients)",
        ]
        heads += [f"{short}, CI over voxels, optimistic"]
    heads += ["Voxels"]
    return Table("Table 1 of the paper and ours, balanced sample of voxels; intervals of 95 %", heads, rows)


def dense_table(view: VoxelView) -> Table:
    """Return discrimination in whole brains, at the prevalence that there is."""
    mine = view.on(DENSE)
    rows = []
    for name in mine.configurations:
        auc, ap, brier = (mine.estimate(name, m, "pooled") for m in ("auc", "average_precision", "brier"))
        gain = _times(ap.get("estimate"), ap.get("prevalence"))
        rows.append(
            [
                configured(mine, name),
                estimated(auc),
                estimated(ap, 4),
                share(ap.get("prevalence")),
                gain,
                cell(brier.get("estimate"), 4) if brier else Cell(""),
                Cell(count(auc.get("n")), auc.get("n")),
                Cell(count(auc.get("n_patients")), auc.get("n_patients")),
            ]
        )
    heads = (
        "System",
        "AUC (95 % CI over patients)",
        "AP (95 % CI over patients)",
        "Prevalence",
        "AP over prevalence",
        "Brier score",
        "Voxels",
        "Patients",
    )
    return Table("Every brain voxel of the held-out patients", heads, rows)


def _times(estimate: object, prevalence: object) -> Cell:
    top, base = to_float(estimate), to_float(prevalence)
    return Cell("") if top is None or not base else Cell(f"{number(top / base, 1)} ×", str(top / base))


def within_table(view: VoxelView) -> Table:
    """Return the AUC inside patients beside that over all voxels, on both sets of voxels."""
    rows = []
    parts = {"balanced sample": view.on(BALANCED), "whole brain": view.on(DENSE)}
    for title, mine in parts.items():
        for name in mine.main:
            inside = mine.estimate(name, "auc", "within_patient")
            if inside:
                cells = [configured(mine, name), Cell(title), estimated(inside)]
                rows.append([*cells, estimated(mine.estimate(name, "auc", "pooled"))])
    whole = parts["whole brain"]
    for name in whole.main:
        if infarct := whole.estimate(name, "auc", "within_infarct"):
            rows.append([configured(whole, name), Cell("infarct"), estimated(infarct), Cell("")])
    heads = ("System", "Voxels", "AUC within patients, mean (95 % CI)", "AUC over all voxels (95 % CI)")
    return Table("Within patients with HT, and over all voxels", heads, rows, frozenset({1}))


def occurrence_table(view: VoxelView) -> Table:
    """Return how well a patient's map tells whether there will be any HT."""
    mine = view.on(PATIENT)
    words = {"max_cluster": "highest mean likelihood of a cluster", "volume": "sum of likelihoods"}
    rows = []
    for name in mine.configurations:
        auc, ap = (mine.estimate(name, metric, "pooled") for metric in ("auc", "average_precision"))
        base, _, score = name.partition("/")
        rows.append(
            [
                Cell(view.named(base), None, "counts" if base == view.chief else "", name),
                Cell(words.get(score, readable(score))),
                estimated(auc),
                estimated(ap),
                share(ap.get("prevalence")),
                Cell(f"{count(auc.get('n'))} ({count(auc.get('n_positive'))})", auc.get("n")),
            ]
        )
    heads = ("System", "Score of a patient", "AUC (95 % CI)", "AP (95 % CI)", "Prevalence", "Patients (HT)")
    return Table("Whether a patient will have HT", heads, rows, frozenset({1}))


def severity_table(view: VoxelView) -> Table:
    """Return predicted volumes against observed ones and against the ECASS class."""
    subsets = {"ht": "patients with HT", "all": "all patients"}
    rows = [
        [
            configured(view, r["configuration"]),
            Cell(HEADINGS.get(r.get("quantity", ""), readable(r.get("quantity", "")))),
            Cell(_against(r.get("against", ""))),
            Cell(subsets.get(r.get("subset", ""), r.get("subset", ""))),
            estimated(r, 2) if r.get("estimate") or not limits(r) else Cell(limits(r, 2)),
            Cell(r.get("interval", "").replace("_", " ")),
            cell(r.get("n"), 0),
            Cell(r.get("note", "")),
        ]
        for r in view.severity
    ]
    heads = ("System", "Predicted", "Measure", "Of", "Estimate", "Interval", "n", "Note")
    return Table("Severity: how much", heads, rows, frozenset({1, 2, 3, 5, 7}), folded=True)


def _against(text: str) -> str:
    what, _, measure = text.partition(": ")
    names = {"observed_ml": "observed volume", "ecass": "ECASS class"}
    return f"{names.get(what, readable(what))}: {measure}" if measure else names.get(what, readable(what))


def strata_table(view: VoxelView) -> Table:
    """Return discrimination by what is known of patients and no system sees."""
    mine = view.on(BALANCED)
    rows = [
        [
            Cell(f"{HEADINGS.get(r['variable'], readable(r['variable']))}: {r['level']}"),
            configured(view, r["configuration"]),
            Cell(f"{count(r.get('n'))} ({count(r.get('n_positive'))})", r.get("n")),
            estimated(r, 3, "auc"),
            cell(r.get("average_precision")),
            share(r.get("prevalence")),
            p_value(r.get("p_differs")) if r.get("p_differs") else Cell(""),
        ]
        for r in mine.strata
    ]
    heads = (
        "Stratum",
        "System",
        "Patients (HT)",
        "AUC (95 % CI over patients)",
        "AP",
        "Prevalence",
        "p, strata differ",
    )
    return Table(
        "By reperfusion, time and scanner, balanced sample", heads, rows, frozenset({1}), folded=True
    )


def burden_table(view: VoxelView) -> Table:
    """Return observed and predicted haemorrhage by region, regions with any first."""
    ranked = sorted(view.burden, key=lambda r: -(to_float(r.get("observed_ml")) or 0.0))
    rows = [
        [
            Cell(" ".join(filter(None, (r.get("name", ""), f"({r['side']})" if r.get("side") else "")))),
            Cell(r.get("atlas", "")),
            Cell("yes" if r.get("eloquent") == "1" else ""),
            Cell(f"{count(r.get('n_with_ht'))} of {count(r.get('n_patients'))}", r.get("n_with_ht")),
            *(cell(r.get(key), 3) for key in ("observed_ml", "predicted_ml", "predicted_corrected_ml")),
            estimated(r, 2, "spearman"),
        ]
        for r in ranked
        if r.get("configuration", view.chief) == view.chief
    ]
    heads = (
        "Region",
        "Atlas",
        "Eloquent",
        "Patients with HT in it",
        "Observed, mean (ml)",
        "Predicted, mean (ml)",
        "At true prevalence (ml)",
        "Rank correlation over patients (95 % CI)",
    )
    caption = "Haemorrhage by territory and region"
    return Table(caption, heads, rows, frozenset({1, 2}), folded=len(rows) > 20)


def patients_table(view: VoxelView) -> Table:
    """Return every held-out patient as the chief configuration predicts them."""
    keys = (
        "ht ecass heidelberg observed_ml predicted_ml predicted_corrected_ml max_cluster auc "
        "average_precision dice"
    ).split()
    rows = [
        [
            Cell(r.get("participant_id", "")),
            Cell({"1": "yes", "0": "no"}.get(r.get("ht", ""), "")),
            Cell(r.get("ecass", ""), None, "", r.get("ecass_source", "")),
            Cell(r.get("heidelberg", ""), None, "", r.get("heidelberg_source", "")),
            *(cell(r.get(key), 2) if r.get(key) else Cell("") for key in keys[3:]),
        ]
        for r in view.of_chief
    ]
    heads = ("Patient", *(HEADINGS.get(key, readable(key).capitalize()) for key in keys))
    caption = f"Each held-out patient, {view.named(view.chief)}"
    return Table(caption, heads, rows, frozenset({1, 2, 3}), folded=True)


def left_out_tables(view: VoxelView) -> list[Table]:
    """Return why patients are not in the study, counted and one by one."""
    reasons = Counter((r.get("reason", ""), r.get("stage", "")) for r in view.left_out)
    counted = [[Cell(reason), Cell(stage), cell(n, 0)] for (reason, stage), n in reasons.most_common()]
    each = listed(view.left_out, "Left out, each patient", folded=True)
    return [Table("Left out, by reason", ("Reason", "Stage", "Patients"), counted, frozenset({1})), each]


def leakage_table(view: VoxelView) -> Table:
    """Return what each fitted object has seen, all folds together."""
    merged: dict[tuple[str, str], list[Row]] = {}
    for row in view.leakage:
        merged.setdefault((row["configuration"], row["object"]), []).append(row)
    rows = []
    for (name, thing), mine in merged.items():
        known = {
            key: [v for r in mine if (v := to_float(r.get(key))) is not None]
            for key in ("n_fits", "n_seen_min", "n_seen_max", "n_overlap")
        }
        overlap = sum(known["n_overlap"]) if len(known["n_overlap"]) == len(mine) else None
        kind = "quiet" if overlap is None else "failed" if overlap else "passed"
        rows.append(
            [
                configured(view, name),
                Cell(thing),
                cell(sum(known["n_fits"]), 0),
                cell(min(known["n_seen_min"], default=None), 0),
                cell(max(known["n_seen_max"], default=None), 0),
                Cell(count(overlap), None, kind),
            ]
        )
    heads = ("Configuration", "Fitted object", "Fits", "Patients seen, least", "Most", "Also predicted")
    return Table(
        "Patients that each fitted object has seen, all folds", heads, rows, frozenset({1}), folded=True
    )


def listed(rows: Sequence[Row], caption: str, *, folded: bool = False) -> Table:
    """Return any table as it stands: numbers where a column holds nothing else."""
    if not rows:
        return Table(caption, (), ())
    keys = list(rows[0])
    texts = {k for k in keys if any(r.get(k) and to_float(r.get(k)) is None for r in rows)}
    shown = [
        [Cell(r.get(k, ""), None) if k in texts else Cell(_short(r.get(k, "")), r.get(k, "")) for k in keys]
        for r in rows
    ]
    heads = [HEADINGS.get(k, readable(k)[:1].upper() + readable(k)[1:]) for k in keys]
    places = frozenset(place for place, key in enumerate(keys) if key in texts and place)
    return Table(caption, heads, shown, places, folded)


def _short(text: str) -> str:
    value = to_float(text)
    return "" if value is None else f"{value:.4g}"
