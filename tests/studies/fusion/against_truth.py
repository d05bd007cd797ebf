"""How near the fusion study comes to the strata and factors planted in the synthetic cohort; writes a page.

The planted strata are of two anatomical numbers, the size of the ventricles and the thickness of the cortex. The same
clustering of these true numbers, which no image shows without error, says what can be reached at best.
Run: make fusion-phantom
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import false_discovery_control, kruskal

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "workflow"))

from reperfuse.core.files import read_json, write_text  # noqa: E402
from reperfuse.core.seeds import seed_of  # noqa: E402
from reperfuse.core.settings import resolve  # noqa: E402
from reperfuse.core.tables import read_table  # noqa: E402
from reperfuse.evaluation.partition import adjusted_rand  # noqa: E402
from reperfuse.studies.fusion import names  # noqa: E402
from reperfuse.studies.fusion.clusters import clustered  # noqa: E402

CONFIG = ROOT / "config/fusion-phantom.yaml"
SHARE, CNR_DROP, MORE_FACTORS = 0.9, 0.05, 1
LATENT = {"components": "all", "scale": "numbers"}  # two numbers in two units: both are kept


def number(text: str | None) -> float:
    """Return a cell's number, NaN where it is empty."""
    return float(text) if text else float("nan")


def strata_found(section: dict[str, Any], results: Path, truth: Path) -> dict[str, Any]:
    """Return the adjusted Rand indices with the planted strata: of those found, and of those that the truth gives."""
    rows = read_table(results / "fusion/strata.tsv")
    of = {row["participant_id"]: row for row in read_table(truth / "cohort.tsv")}
    ids = [row["participant_id"] for row in rows]
    planted = [int(of[who]["stratum"]) for who in ids]
    latent = np.array(
        [[np.log(float(of[who]["ventricle_scale"])), float(of[who]["cortex_mm"])] for who in ids]
    )
    best = clustered(
        {"final": latent}, {**section["strata"], **LATENT}, seed=seed_of(section["salt"], "latent")
    )
    ours = [int(row["stratum"]) for row in rows]
    return {
        "n": len(ids), "ours": adjusted_rand(planted, ours), "latent": adjusted_rand(planted, best.strata.labels),
        "n_strata": len(set(ours)), "n_latent": best.strata.n, "n_planted": len(set(planted)),
    }  # fmt: skip


def factors_found(results: Path, truth: Path, *, fdr: float) -> dict[str, list[str]]:
    """Return planted factors that are significant and that are not, others that are, and what planted strata give.

    A factor is called by the measures that load most on it; a second of the same measures is counted as another one.
    """
    planted = set(read_json(truth / "planted.json")["strata"]["factors"])
    loadings: dict[str, tuple[float, str]] = {}
    for row in read_table(results / "fusion/factors.tsv"):
        mine = abs(number(row["loading"])), row["variable"].rpartition("_")[0]
        loadings[row["factor"]] = max(loadings.get(row["factor"], mine), mine)
    tested = [
        row
        for row in read_table(results / "fusion/associations.tsv")
        if (row["analysis"], row["what"], row["significant"]) == ("plain", "factor", "1")
    ]
    found, others = set(), []
    for row in tested:
        name = loadings[row["name"]][1]
        if name in planted and name not in found:
            found.add(name)
        else:
            others.append(f"{name}, again" if name in planted else name)
    scores = read_table(results / "fusion/factor-scores.tsv")
    of = {row["participant_id"]: row["stratum"] for row in read_table(truth / "cohort.tsv")}
    strata = np.array([of[row["participant_id"]] for row in scores])
    p = []
    for name in loadings:
        values = np.array([number(row[name]) for row in scores])
        there = np.isfinite(values)
        p.append(kruskal(*(values[there & (strata == one)] for one in np.unique(strata))).pvalue)
    true = [
        loadings[name][1] for name, q in zip(loadings, false_discovery_control(p), strict=True) if q <= fdr
    ]
    return {
        "found": sorted(found),
        "missed": sorted(planted - found),
        "others": sorted(others),
        "true": sorted(true),
    }


def page(results: Path, truth: Path, command: str) -> str:
    """Return the page."""
    section = resolve(yaml.safe_load(CONFIG.read_text(encoding="utf-8")), ROOT / "workflow/schemas")[
        "studies"
    ]["fusion"]
    primary = names.primary(section).name
    strata = strata_found(section, results, truth)
    factors = factors_found(results, truth, fdr=section["statistics"]["fdr"])
    metrics = {
        (row["configuration"], row["target"], row["metric"], row["estimator"]): row["estimate"]
        for row in read_table(results / "fusion/metrics.tsv")
    }
    by_fold = [
        number(row["estimate"])
        for row in read_table(results / "fusion/metrics-by-fold.tsv")
        if (row["configuration"], row["target"], row["metric"]) == (primary, "all", "r2")
    ]
    share = strata["ours"] / strata["latent"]
    change, of_mean = (
        number(metrics.get((primary, "all", metric, "fold_mean")))
        for metric in ("cnr_change", "mean_code_cnr_change")
    )
    rows = [
        (
            f"adjusted Rand index, at least {SHARE:.0%} of that of the true numbers",
            f"{strata['ours']:.3f} of {strata['latent']:.3f}: {share:.0%}", share >= SHARE,
        ),
        (
            "planted factors significant after FDR",
            f"{', '.join(factors['found']) or 'none'} (planted strata themselves: {', '.join(factors['true'])})",
            not factors["missed"],
        ),
        (
            f"other factors significant, at most {MORE_FACTORS}",
            ", ".join(factors["others"]) or "none", len(factors["others"]) <= MORE_FACTORS,
        ),
        (
            "R² over the mean image from the embedding alone, worst fold, above 0",
            f"{min(by_fold):.3f}", min(by_fold) > 0,
        ),
        (
            f"change of the contrast-to-noise ratio, loss of {CNR_DROP:.0%} at most",
            f"{change:+.1%}; of the mean embedding {of_mean:+.1%}", change >= -CNR_DROP,
        ),
    ]  # fmt: skip
    lines = [
        "# Strata of the synthetic cohort",
        "",
        f"Written by `{command}`: `config/fusion-phantom.yaml` on {strata['n']} synthetic patients, {primary}.",
        f"{strata['n_planted']} strata are planted, by the size of the ventricles and the thickness of the cortex; the",
        f"study finds {strata['n_strata']}, the same clustering of the two true numbers {strata['n_latent']}.",
        "Averaging raises the contrast-to-noise ratio, as what the mean embedding gives shows: a gain says nothing",
        "about fidelity. R², MSE and CNR are of smoothed images where `smooth_mm` is above 0.",
        "Contrasts, smoothing, and which components are kept were chosen on this cohort with the truth at hand.",
        "",
        "| what is asked | found | reached |",
        "|---|---|---|",
        *(f"| {what} | {value} | {'yes' if reached else '**no**'} |" for what, value, reached in rows),
        "",
        "| configuration | contrast | R² | MSE | change of CNR | of the mean embedding |",
        "|---|---|---|---|---|---|",
    ]
    for configuration, target, metric, estimator in metrics:
        if (metric, estimator) == ("mse", "fold_mean"):
            got = [
                metrics.get((configuration, target, one, estimator), "")
                for one in ("r2", "mse", "cnr_change", "mean_code_cnr_change")
            ]
            cells = " | ".join(f"{number(one):.3g}" if one else "" for one in got)
            lines.append(f"| {configuration} | {target} | {cells} |")
    said = read_json(results / "fusion/strata-summary.json")["words"]
    return "\n".join([*lines, "", *(line for one in said for line in (one, ""))]).rstrip() + "\n"


if __name__ == "__main__":
    write_text(sys.argv[3], page(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4]))
