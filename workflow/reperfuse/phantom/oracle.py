"""How well each of the five systems could do if it knew the truth."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.stats import norm, rankdata

from reperfuse.core.seeds import seed_of
from reperfuse.phantom.contrasts import ADC, ADC_TEXTURE, B0, LESION, T2_TEXTURE
from reperfuse.phantom.scalars import PLANTED, Table
from reperfuse.phantom.territory import CORE_ADC, RIM_ADC

Array = np.ndarray


def auc(score: Array, label: Array) -> float:
    """Return the area under the ROC curve, ties counted half; NaN where only one class is there."""
    label = np.asarray(label, dtype=bool)
    positive, total = int(label.sum()), label.size
    if positive in (0, total):
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[label].sum() - positive * (positive + 1) / 2) / (positive * (total - positive)))


def scores(table: Table) -> dict[str, Array]:
    """Return, per patient, the Bayes score of each target from the planted laws.

    Returns
    -------
    dict of ndarray
        ``outcome_j0`` P(mRS ≤ 1) from lesion volume and age at J0, reperfusion and growth integrated out;
        ``outcome_j1`` P(mRS ≤ 1) knowing volume at J1, age and reperfusion; ``severity`` P(NIHSS > 4) from
        volume and side; ``transformation`` P(HT) of the patient; ``stratum_0`` … ``stratum_3`` from the three
        carrying factors.
    """
    f, c = PLANTED["favourable"], PLANTED["nihss"]
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    early = np.zeros(table["age"].size)
    share = PLANTED["reperfused"]["probability"]
    for key, probability in (("reperfused", share), ("not_reperfused", 1 - share)):
        mean, sd = PLANTED["log_v1_minus_log_v0"][key]
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            eta = f["intercept"] + f["log_v1"] * (table["log_v0"] + mean + sd * node - f["log_v1_at"])
            eta += f["age"] * (table["age"] - f["age_at"]) + f["no_reperfusion"] * (key == "not_reperfused")
            early += probability * weight * expit(eta)
    expected = c["intercept"] + c["log_v0"] * table["log_v0"] + c["left_minus_right_half"] * table["side"]
    result = {
        "outcome_j0": early,
        "outcome_j1": expit(table["eta"]),
        "severity": norm.sf((4.5 - expected) / c["residual_sd"]),
        "transformation": table["ht_probability"],
    }
    signs = np.array([[-1, -1, 1, 1], [-1, 1, -1, 1], [-1, 1, 1, -1]])
    strata = PLANTED["strata"]
    value = np.stack([table[f"factor_{name}"] for name in strata["factors"]])
    logit = np.sqrt(strata["eta2"]) / (1 - strata["eta2"]) * (signs.T @ value)
    posterior = np.exp(logit - logit.max(axis=0))
    posterior /= posterior.sum(axis=0)
    return result | {f"stratum_{k}": posterior[k] for k in range(strata["n"])}


def logistic(columns: list[Array], label: Array) -> Array:
    """Return the fitted logit of a logistic regression (Newton), for large-sample references."""
    design = np.column_stack([np.ones(label.size), *columns])
    beta = np.zeros(design.shape[1])
    for _ in range(12):
        p = expit(design @ beta)
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        beta += np.linalg.solve(hessian, design.T @ (label - p))
    return design @ beta


def references(table: Table) -> dict[str, float]:
    """Return the large-sample figures of the science reference, appendix B, on a simulated table."""
    good, t = table["favourable"], table
    heavy = t["nihss"] > 4
    return {
        "minor_share": float(1 - heavy.mean()),
        "favourable_share": float(good.mean()),
        "ht_share": float(t["ht"].mean()),
        "auc_log_v0": auc(-t["log_v0"], good),
        "auc_log_v1": auc(-t["log_v1"], good),
        "auc_j0_block": auc(logistic([t["log_v0"], t["nihss"], t["age"]], good), good),
        "auc_j1_block": auc(logistic([t["log_v1"], t["nihss"], t["age"]], good), good),
        "auc_log_v0_non_minor": auc(t["log_v0"], heavy),
    }


def outcome(table: Table) -> float:
    """System 0: AUC for mRS ≤ 1 of the planted J1 score."""
    return auc(scores(table)["outcome_j1"], table["favourable"])


def severity(table: Table) -> float:
    """System 2: AUC for NIHSS > 4 of volume and side."""
    return auc(scores(table)["severity"], table["nihss"] > 4)


def fusion(table: Table) -> float:
    """System 1: AUC of telling each stratum from the rest by the three carrying factors, mean over strata."""
    found = scores(table)
    return float(
        np.mean([auc(found[f"stratum_{k}"], table["stratum"] == k) for k in range(PLANTED["strata"]["n"])])
    )


def eta_squared(values: Array, groups: Array) -> float:
    """Return the share of variance between groups (whole numbers from 0)."""
    count = np.bincount(groups)
    means = np.bincount(groups, weights=values) / np.maximum(count, 1)
    centre = values.mean()
    return float((count * (means - centre) ** 2).sum() / ((values - centre) ** 2).sum())


def transformation(n_voxels: int, seed: int) -> float:
    """System 3: AUC per voxel of the planted score of leakage and depth, in infarcts that transform."""
    rng = np.random.default_rng(seed_of(seed, "oracle", "transformation"))
    kappa, depth = rng.standard_normal((2, n_voxels))
    c = PLANTED["ht_voxel"]
    chance = expit(c["intercept"] + c["z_kappa"] * kappa + c["z_depth"] * depth)
    return auc(chance, rng.random(n_voxels) < chance)


def imputation(n_voxels: int, seed: int, *, snr: float, bias_sd: float, b_s_mm2: float) -> float:
    """System 4: AUC per voxel for the lesion of the ADC that is imputed from trace, tissue known.

    The imputed ADC is −ln(trace / tissue's mean S0)/b: a trace value cannot tell diffusion from the texture
    of T2 or from the receive field, so that even this prediction errs.
    """
    rng = np.random.default_rng(seed_of(seed, "oracle", "imputation"))
    grey, lesion = rng.random(n_voxels) < 0.5, rng.random(n_voxels) < 0.08
    s0 = np.where(grey, B0["gm"], B0["wm"])
    adc = np.where(grey, ADC["gm"], ADC["wm"]) * np.exp(ADC_TEXTURE * rng.standard_normal(n_voxels))
    adc = np.where(lesion, rng.uniform(CORE_ADC[0], RIM_ADC, n_voxels), adc)
    local = np.exp(rng.standard_normal((2, n_voxels)) * np.array([[T2_TEXTURE], [bias_sd]])).prod(axis=0)
    local *= np.where(lesion, LESION["b0"][0], 1.0)
    noise = 100.0 / snr / np.sqrt(6.0) * rng.standard_normal(n_voxels)
    trace = s0 * local * np.exp(-b_s_mm2 * adc * 1e-6) + noise
    return auc(np.log(np.maximum(trace, 1.0) / s0), lesion)
