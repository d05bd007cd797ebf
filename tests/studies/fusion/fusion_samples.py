"""Made-up models, reconstructions and strata of a fusion study, and its tables as a run leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.files import write_json
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.reported import read_paper
from reperfuse.studies.fusion import names, report

ROOT = Path(__file__).parents[3]
STAMP = "synthetic patients"
N, FOLDS = 48, 4
CONTRASTS = ("trace", "adc", "jac")
PRIMARY = "trace+adc+jac"
IDS = [f"sub-{i:03d}" for i in range(N)]
SECTION: dict[str, Any] = {
    "contrasts": list(CONTRASTS),
    "sizes": [1, 2],
    "sets": [],
    "primary": "",
    "skips": ["none", "unet"],
    "baselines": ["voxel_pca"],
    "variants": {"half": {"network": {"code": 16}}},
    "title_note": STAMP,
    "salt": "reperfuse",
    "intensity": {"smooth_mm": 0},
    "phenotypes": {"loading": 0.4},
    "grid": {"shape": [64, 64, 64], "spacing_mm": [4, 4, 4]},
    "statistics": {"level": 0.95, "bootstrap": 50, "fdr": 0.05, "mse_flags": [0.04, 0.1], "cnr_drop": 0.1},
}
# Mean squared error of the mean image, contrast to noise, and error by kind.
CHANCE = {"trace": 0.05, "adc": 0.04, "jac": 0.03}
CNR = {"trace": 0.9, "adc": 0.6, "jac": 0.02}
ERROR = {"none": 0.45, "unet": 0.05, "voxel_pca": 0.6, "half": 0.55}
BAD = "sub-005"
EXEMPLARS = ("sub-000", "sub-020", "sub-036")
COLUMNS = (
    "participant_id session_id configuration set kind fold held_out contrast code mse mse_mean r2 norm_diff "
    "cnr_of cnr_original cnr_reconstructed cnr_change n_voxels"
).split()


def fold_of(who: str) -> int:
    """Return the fold that holds a patient out."""
    return IDS.index(who) % FOLDS + 1


def reconstructions() -> list[dict[str, Any]]:
    """Return the rows of every model's ``reconstruction.tsv``."""
    random = np.random.default_rng(5)
    rows = []
    for system in names.systems(SECTION):
        for fold in (*range(1, FOLDS + 1), *([0] if system == names.primary(SECTION) else [])):
            for who in IDS:
                held = fold_of(who) == fold
                for contrast in system.contrasts:
                    for code in ("own", "shuffled", "mean_code") if held else ("own",):
                        rows.append(_row(random, system, fold, who, contrast, code, held))
    return rows


def _row(
    random: Any, system: Any, fold: int, who: str, contrast: str, code: str, held: bool
) -> dict[str, Any]:
    chance = CHANCE[contrast] * random.uniform(0.8, 1.2)
    share = ERROR[system.kind] * (1 if held else 0.8) * (1 + 0.05 * len(system.contrasts))
    # With skips another patient's embedding hardly changes the image.
    worse = {"own": 1.0, "shuffled": 1.1 if system.kind == "unet" else 2.6, "mean_code": 1.05}[code]
    mse = chance * share * worse * random.uniform(0.9, 1.1)
    if who == BAD and held and system.kind == "none" and contrast == "trace":
        mse = 0.11
    before = CNR[contrast] * random.uniform(0.9, 1.1)
    after = before * (0.97 if system.kind == "unet" else 0.8)
    return {
        "participant_id": who, "session_id": "ses-01", "configuration": system.name, "set": system.set,
        "kind": system.kind, "fold": fold, "held_out": int(held), "contrast": contrast, "code": code, "mse": mse,
        "mse_mean": chance, "r2": 1 - mse / chance, "norm_diff": 0.3, "cnr_of": "grey and white matter",
        "cnr_original": before, "cnr_reconstructed": after, "cnr_change": after / before - 1, "n_voxels": 9000,
    }  # fmt: skip


def models() -> list[dict[str, Any]]:
    """Return the facts of every model."""
    made = []
    for text in names.models(SECTION, range(1, FOLDS + 1)):
        place = names.parse(text)
        held = [who for who in IDS if fold_of(who) == place.fold]
        facts = {
            "trial": text, "configuration": place.system.name,
            "fold": place.fold, "n": N - len(held), "held_out": held, "embedded": IDS, "code_length": 32,
            "n_parameters": 400_000 + 60_000 * len(place.system.contrasts),
            "standard_equivalent": 3_000_000 + 600_000 * len(place.system.contrasts),
            "compression": len(place.system.contrasts) * 64**3 / 32,
            "left_out": {"sub-899": "no jac"} if "jac" in place.set else {},
            "history": [0.05 * 0.8**epoch + 0.01 for epoch in range(12)],
            "leakage": [{"object": "network", "n_fits": 1, "n_seen_min": N - len(held), "n_seen_max": N - len(held),
                         "n_overlap": 0}],
        }  # fmt: skip
        if place.kind == "voxel_pca":
            facts |= {"history": [], "n_parameters": None, "standard_equivalent": None}
        if place.kind == "half":
            facts["n_linear"] = 288_000
        made.append(facts)
    return made


def manifest() -> dict[str, Any]:
    """Return of the manifest what the judge reads."""
    no_images = {"code": "E101", "participant_id": "", "session_id": "", "path": "", "values": {}}
    return {
        "eligibility": {
            "fusion": {**{who: [] for who in [*IDS, "sub-899", "sub-900"]}, "sub-901": [no_images]}
        },
        "folds": {
            "fusion": {
                "rows": [
                    {"participant_id": who, "fold": fold_of(who), "group": f"f{i // 2}"}
                    for i, who in enumerate(IDS)
                ]
                + [{"participant_id": who, "fold": 1, "group": "f99"} for who in ("sub-899", "sub-900")]
            }
        },
    }


def strata_summary(*, single: bool = False) -> dict[str, Any]:
    """Return ``strata-summary.json``."""
    if single:
        return {"n": N, "n_strata": 1, "sizes": [N], "words": ["No strata were found."], "n_factors": 0}
    said = "Factors that tell the strata apart: 2 of 3 after correction (p for so many or more 0.001)."
    analyses = {
        "plain": {
            "n_strata": 3,
            "n_factors_significant": 2,
            "p_n_significant": 0.001,
            "significant": ["F1", "F2"],
        },
        "adjusted": {
            "n_strata": 3,
            "n_factors_significant": 1,
            "p_n_significant": 0.02,
            "significant": ["F1"],
        },
        "volume_alone": {
            "n_strata": 3,
            "n_factors_significant": 0,
            "p_n_significant": 1.0,
            "significant": [],
        },
        "k_means": {
            "n_strata": 3,
            "n_factors_significant": 2,
            "p_n_significant": 0.002,
            "significant": ["F1", "F2"],
        },
    }
    return {
        "n": N, "n_strata": 3, "sizes": [20, 16, 12], "of": "consensus", "silhouette": 0.31,
        "consensus_share": 0.87, "settings": {"damping": 0.8, "preference": -1}, "n_factors": 3,
        "n_significant": 2, "p_n_significant": 0.001,
        "analyses": {name: {**one, "words": said} for name, one in analyses.items()}, "words": [said],
    }  # fmt: skip


def strata_tables() -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """Return the tables of the strata: name → columns and rows."""
    random = np.random.default_rng(8)
    stratum = [1] * 20 + [2] * 16 + [3] * 12
    people = list(zip(IDS, stratum, strict=True))
    t: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    t["strata"] = (
        "participant_id session_id stratum exemplar silhouette consensus_share stability",
        [
            {"participant_id": who, "session_id": "ses-01", "stratum": s, "exemplar": int(who in EXEMPLARS),
             "silhouette": random.uniform(0.1, 0.6), "consensus_share": random.uniform(0.7, 1), "stability": 0.9}
            for who, s in people
        ],
    )  # fmt: skip
    t["strata-grid"] = (
        "source damping preference n_strata smallest converged iterations silhouette chosen why",
        [
            {"source": "consensus", "damping": d, "preference": p, "n_strata": 3 if p < 0 else 9,
             "smallest": 12 if p < 0 else 1, "converged": int(d > 0.6), "iterations": 120, "silhouette": 0.3 + 0.01 * d,
             "chosen": int((d, p) == (0.8, -1)), "why": "" if d > 0.6 else "not converged"}
            for d in (0.5, 0.8) for p in (-1, 0.1)
        ],
    )  # fmt: skip
    measures = (
        ("bootstrap_ari", PRIMARY, 0.81), ("fold_ari", PRIMARY, 0.74), ("random_ari", PRIMARY, 0.0),
        ("k_means_ari", PRIMARY, 0.69), ("other_ari", "trace+adc", 0.55), ("other_ari", "trace+jac", 0.8),
        ("other_ari", "adc+jac", 0.7), ("other_ari", "trace", 0.3), ("other_ari", f"{PRIMARY}[half]", 0.9),
    )  # fmt: skip
    t["stability"] = (
        "what configuration estimate ci_low ci_high n n_strata",
        [
            {"what": what, "configuration": one, "estimate": v, "ci_low": v - 0.1, "ci_high": v + 0.1,
             "n": N, "n_strata": 3}
            for what, one, v in measures
        ],
    )  # fmt: skip
    variables = ["memory_a", "memory_b", "motor_a", "motor_b", "sleep_a", "sleep_b"]
    factors = ["memory a, memory b", "motor a, motor b", "sleep a, sleep b"]
    t["factors"] = (
        "factor variable loading",
        [
            {"factor": f, "variable": v, "loading": 0.85 if j // 2 == i else random.uniform(-0.2, 0.2)}
            for i, f in enumerate(factors) for j, v in enumerate(variables)
        ],
    )  # fmt: skip
    shift = {factors[0]: 1.0, factors[1]: -0.7, factors[2]: 0.0}
    t["factor-scores"] = (
        "\t".join(["participant_id", *factors]),
        [
            {"participant_id": who, **{f: shift[f] * s + random.normal() for f in factors}}
            for who, s in people
        ],
    )
    t["parallel"] = (
        "component eigenvalue threshold kept",
        [{"component": k, "eigenvalue": 3 / k, "threshold": 1.2, "kept": int(k < 3)} for k in range(1, 7)],
    )
    tests = [*((f, "factor", "kruskal_wallis") for f in factors), ("age", "variable", "kruskal_wallis"),
             ("sex", "variable", "chi_squared")]  # fmt: skip
    t["associations"] = (
        "analysis what name test statistic df p q effect effect_name p_permutation n significant",
        [
            {"analysis": a, "what": what, "name": name, "test": test, "statistic": 12.0 - 3 * k,
             "df": 2, "p": 0.002 * 4**k,
             "q": min(0.006 * 4**k, 1.0), "effect": 0.2 - 0.04 * k,
             "effect_name": "epsilon_squared" if test == "kruskal_wallis" else "cramers_v",
             "p_permutation": 0.003 * 4**k,
             "n": N, "significant": int(what == "factor" and k < {"plain": 2, "adjusted": 1, "k_means": 2}.get(a, 0))}
            for a in ("plain", "adjusted", "volume_alone", "k_means") for k, (name, what, test) in enumerate(tests)
        ],
    )  # fmt: skip
    t["posthoc"] = (
        "name first second z p p_holm median_first median_second",
        [
            {"name": f, "first": a, "second": b, "z": 2.5, "p": 0.01, "p_holm": 0.03,
             "median_first": 0.9, "median_second": 2.1}
            for f in factors[:2] for a, b in ((1, 2), (1, 3), (2, 3))
        ],
    )  # fmt: skip
    t["phenotypes-left-out"] = (
        "variable missing n_levels why",
        [
            {
                "variable": "mood_a",
                "missing": 0.4,
                "n_levels": 7,
                "why": "missing in more than 20 % of patients",
            }
        ],
    )
    t["map2d"] = (
        "participant_id pc1 pc2 stratum",
        [
            {"participant_id": who, "pc1": 3 * np.cos(2.1 * s) + random.normal(),
             "pc2": 3 * np.sin(2.1 * s) + random.normal(),
             "stratum": s}
            for who, s in people
        ],
    )  # fmt: skip
    t["strata-others"] = (
        "participant_id session_id split stratum exemplar distance beyond reason",
        [{"participant_id": f"sub-other+{i}", "split": "external:other", "stratum": i % 3 + 1, "exemplar": "sub-000",
          "distance": 3.1 + i, "beyond": int(i > 3)} for i in range(6)]
        + [{"participant_id": "sub-other+9", "split": "external:other", "reason": "no adc"}],
    )  # fmt: skip
    return t


def judged(
    folder: Path,
    *,
    rows: list[dict[str, Any]] | None = None,
    facts: list[dict[str, Any]] | None = None,
    single: bool = False,
) -> report.Judged:
    """Return what the judge says of made-up models, read back from a table as a run's are."""
    write_table(folder / "reconstruction.tsv", reconstructions() if rows is None else rows, COLUMNS)
    tables = strata_tables()
    return report.judged(
        read_table(folder / "reconstruction.tsv"),
        SECTION,
        models=models() if facts is None else facts,
        manifest=manifest(),
        images={"sub-900": "constant"},
        strata=strata_summary(single=single),
        stability=tables["stability"][1],
        others=tables["strata-others"][1],
        paper=read_paper(ROOT / "resources/papers/fusion.tsv"),
        assumed={"network.code": 32},
    )


def write_folder(folder: Path) -> Path:
    """Write every table of a study and return the folder."""
    found = judged(folder.parent)
    for name, (rows, columns) in found.tables.items():
        write_table(folder / f"{name}.tsv", rows, columns)
    for name, (text, rows) in strata_tables().items():
        write_table(folder / f"{name}.tsv", rows, text.split("\t") if "\t" in text else text.split())
    write_json(folder / "summary.json", found.summary)
    write_json(folder / "strata-summary.json", strata_summary())
    return folder


def shown(kind: str) -> dict[str, np.ndarray]:
    """Return what a model leaves of three held-out patients: an ellipsoid brain whose left half is brighter."""
    s, r, c = np.meshgrid(*(np.linspace(-1, 1, 64),) * 3, indexing="ij")
    inside = (s / 0.6) ** 2 + (r / 0.8) ** 2 + (c / 0.65) ** 2 < 1
    found = {}
    for place, who in enumerate(("sub-000", "sub-004", BAD)):
        for contrast in CONTRASTS:
            image = np.where(inside, 0.4 + 0.3 * (c > 0) + 0.1 * np.sin(9 * r), 0).astype(np.float16)
            off = {"none": 0.1 * (place + 1), "unet": 0.01}[kind]
            found[f"{who}/{contrast}/original"] = image
            found[f"{who}/{contrast}/reconstructed"] = (image + off * inside * (r > 0)).astype(np.float16)
    return found
