"""How near the transformation study comes to what the synthetic cohort's planted law allows; writes a page.

The law knows what no image of J0 shows: the infarct at 24 h, which reperfusion decides, and the leakage without noise.
A voxel's score is the planted chance that the patient bleeds, times the planted probability of the voxel, carried from
the GRE to the PWI grid by the true positions. It is judged on the voxels of the study's own tables.
Run: make transformation-phantom
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.ndimage import map_coordinates

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "workflow"))

from reperfuse.core.files import read_json, write_text  # noqa: E402
from reperfuse.core.tables import read_table  # noqa: E402
from reperfuse.evaluation.discrimination import auc  # noqa: E402
from reperfuse.imaging.reader import read_made  # noqa: E402
from reperfuse.studies.transformation.report import markdown  # noqa: E402

KEYS = ("participant_id", "x", "y", "z", "set", "y_true")
PRIMARY, PEERS, WANTED = "lstm_pwi+aif+dwi", ("forest", "svm"), 0.95
BALANCED = "ht voxel (balanced)"
TABLES = ("paper", "metrics", "comparisons", "severity", "patients")


def planted(truth: Path, work: Path, who: str, at: np.ndarray, chance: float) -> np.ndarray:
    """Return the planted probability of HT at voxels (n, 3) of the PWI grid."""
    pwi = read_made(work / who / "PWI_brain.nii.gz")
    law = read_made(truth / who / "J1_ht_probability.nii.gz")
    poses = {name: np.array(pose) for name, pose in read_json(truth / who / "transforms.json").items()}
    through = np.linalg.inv(law.affine) @ poses["J1_gre"] @ np.linalg.inv(poses["J0_pwi"]) @ pwi.affine
    points = through @ np.column_stack([at, np.ones(len(at))]).T
    return chance * map_coordinates(law.data, points[:3], order=1)


def compared(results: Path, truth: Path) -> dict[str, dict[str, tuple[float | None, int]]]:
    """Return set → configuration → AUC and number of voxels; the law is called ``planted law``.

    The third set is the dense one inside the infarct at 24 h, the AUC there the mean of that inside each patient
    with HT: whoever finds the infarct and no more has 0.5.
    """
    chances = {
        row["participant_id"]: float(row["ht_probability"]) for row in read_table(truth / "cohort.tsv")
    }
    parts = [
        pq.read_table(path).to_pandas()
        for path in sorted((results / "transformation/voxels").glob("*.parquet"))
    ]
    found: dict[str, dict[str, tuple[float | None, int]]] = {}
    inside: dict[str, list[float]] = {}
    n_inside = 0
    for kind in ("balanced", "dense"):
        scores: dict[str, list[np.ndarray]] = {}
        for part in parts:
            for who, rows in part[part["set"] == kind].groupby("participant_id"):
                at = rows[["x", "y", "z"]].to_numpy()
                law = planted(truth, results / "work", str(who), at, chances[str(who)])
                columns = {"y": rows["y_true"].to_numpy(), "planted law": law}
                columns |= {name: rows[name].to_numpy() for name in rows if name not in KEYS}
                for name, values in columns.items():
                    scores.setdefault(name, []).append(values)
                infarct = law > 0
                if kind == "dense" and len(set(columns["y"][infarct].tolist())) == 2:
                    n_inside += int(infarct.sum())
                    y = columns.pop("y")[infarct].astype(int)
                    for name, values in columns.items():
                        if np.isfinite(values).all():
                            inside.setdefault(name, []).append(auc(y, values[infarct].astype(float)) or 0.0)
        whole = {name: np.concatenate(values).astype(float) for name, values in scores.items()}
        y = whole.pop("y")
        known = {name: values for name, values in whole.items() if np.isfinite(values).all()}
        found[kind] = {name: (auc(y.astype(int), values), len(y)) for name, values in known.items()}
    found["inside the infarct"] = {name: (float(np.mean(each)), n_inside) for name, each in inside.items()}
    return found


def page(results: Path, truth: Path, command: str) -> str:
    """Return the page."""
    patients = {row["participant_id"] for row in read_table(results / "transformation/patients.tsv")}
    lines = [
        "# Haemorrhagic transformation on the synthetic cohort",
        "",
        f"Written by `{command}`: the protocol of Yu et al. (`config/papers/transformation.yaml`) on 40 synthetic",
        f"patients (seed 8, the first of which ten with haemorrhage can take part), of whom {len(patients)} took part.",
        "Images have 64×64×20 voxels of 3.5×3.5×6.5 mm, so that haemorrhage has fewer of them than in the paper;",
        "what was planted there is simpler than a brain.",
        "",
        "## Beside the planted law",
        "",
        "AUC over all voxels of all folds, and its share of what the law that drew the haemorrhage comes to. The law",
        "knows the infarct at 24 h, which no image of J0 shows. Nearly all of such an AUC is to find the infarct, in",
        "which all haemorrhage lies; the last rows are the mean AUC inside the infarct of each patient with",
        "haemorrhage.",
        "",
        "| voxels | configuration | AUC | of the law |",
        "|---|---|---|---|",
    ]
    found = compared(results, truth)
    for kind, rows in found.items():
        best = rows["planted law"][0] or float("nan")
        for name, (value, n) in rows.items():
            shown = "n/a | n/a" if value is None else f"{value:.3f} | {100 * value / best:.1f} %"
            lines.append(f"| {kind} ({n}) | {name} | {shown} |")
    rows = {name: value or 0.0 for name, (value, _) in found["balanced"].items()}
    held = rows[PRIMARY] >= WANTED * rows["planted law"]
    lines += [
        "",
        f"`{PRIMARY}` {'reaches' if held else 'does not reach'} 95 % of the law on the balanced sample.",
    ]
    tables = {name: read_table(results / f"transformation/{name}.tsv") for name in TABLES}
    n_ht = found["balanced"]["planted law"][1] // 2
    bleeding = len({row["participant_id"] for row in tables["patients"] if row["ht"] == "1"})
    for row in tables["comparisons"]:
        drawn = (row["target"], row["test"], row["metric"]) == (BALANCED, "patient_bootstrap", "auc")
        if drawn and row["second"] in PEERS:
            low, high = float(row["ci_low"]), float(row["ci_high"])
            said = "worse" if high < 0 else "better" if low > 0 else "neither better nor worse"
            lines.append(
                f"It is {said} than `{row['second']}` on the balanced voxels: difference "
                f"{float(row['difference']):.3f} ({low:.3f} to {high:.3f}, draws of patients)."
            )
    lines += [
        f"There are {n_ht} voxels with haemorrhage to learn from, of {bleeding} patients, and the planted",
        "law is a smooth function of leakage and depth, which a forest, a kernel or a map finds as well.",
    ]
    return "\n".join([*lines, "", markdown(tables)]).rstrip() + "\n"


if __name__ == "__main__":
    write_text(sys.argv[3], page(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4]))
