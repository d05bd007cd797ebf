"""The clinical truth of the synthetic cohort: every number that is not a voxel.

One patient, one seed: what patient *i* is does not depend on how many patients there are. All draws are taken
from fixed blocks, so that a new use of a reserved draw changes nobody.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from reperfuse.core.seeds import seed_of

Table = dict[str, np.ndarray]

RESERVED = 64
UNIFORM = (
    "reperfusion side territory mrs ivt evt tici htn dm af sex site premorbid stratum ht died left "
    "miss_pwi miss_pwi_mar miss_flair miss_t1w miss_adc miss_trace miss_gre tr frames bolus mismatch reader "
    "j1_time"
).split()
FACTORS = (
    "memory language executive attention visuospatial processing_speed motor_function mood fatigue sleep "
    "social_function vascular_burden"
).split()
N_MEASURES = 3
FAMILIAL = ["axis_x", "axis_y", "axis_z", "ventricle", "cortex"] + [f"factor_{name}" for name in FACTORS]
NORMAL = (
    "log_v0 growth age nihss nihss_24h kappa glucose sbp lkw groin centre_x centre_y centre_z adc".split()
    + FAMILIAL
)

# Science reference, appendix B; what that page does not fix is marked assumed.
PLANTED: dict[str, Any] = {
    "log_v0": {"mean": 2.3, "sd": 1.1},
    "reperfused": {"probability": 0.6},
    "log_v1_minus_log_v0": {"reperfused": [0.1, 0.25], "not_reperfused": [0.9, 0.35]},
    "age": {"mean": 70.0, "sd": 12.0},
    # The side's ±1 is part of the residual SD of 3, so that the large-sample references stay what they are.
    "nihss": {"intercept": -1.0, "log_v0": 2.6, "left_minus_right_half": 1.0, "residual_sd": 8.0**0.5},
    "favourable": {"intercept": 0.6, "log_v1": -1.3, "log_v1_at": 2.7, "age": -0.05, "age_at": 70.0,
                   "no_reperfusion": -0.9},
    "ht_voxel": {"intercept": -3.0, "z_kappa": 1.4, "z_depth": 0.8},
    # Assumed: gives the 26 % of patients with transformation of the paper (41 of 155).
    "ht_patient": {"intercept": -1.29, "z_kappa": 0.9, "z_log_v1": 0.6},
    "strata": {"n": 4, "factors": ["executive", "processing_speed", "vascular_burden"], "eta2": 0.1},
    # Assumed: cumulative-logit steps of mRS ≤ 0, 1, …, 5 around the planted mRS ≤ 1.
    "mrs_steps": [-1.1, 0.0, 0.8, 1.5, 2.4, 3.0],
    "sibling_correlation": 0.5,
    "related_pairs": 0.3,
    "measure_loading": 0.85,
}  # fmt: skip

SITES = ("A", "B", "C", "D")
TERRITORIES = ("mca_superior", "mca_inferior", "mca_deep", "aca", "pca")
_TERRITORY_SHARES = (0.32, 0.26, 0.22, 0.08, 0.12)

# NIHSS items: name, maximum, affinity for a left and for a right lesion (assumed; motor items weigh most).
ITEMS = (
    ("1a", 3, 0.15, 0.15), ("1b", 2, 0.5, 0.2), ("1c", 2, 0.4, 0.2), ("2", 2, 0.5, 0.7), ("3", 3, 0.6, 0.6),
    ("4", 3, 2.0, 2.0), ("5a", 4, 0.05, 2.5), ("5b", 4, 2.5, 0.05), ("6a", 4, 0.05, 2.0),
    ("6b", 4, 2.0, 0.05),
    ("7", 2, 0.4, 0.4), ("8", 2, 1.0, 1.0), ("9", 3, 1.6, 0.05), ("10", 2, 1.8, 1.8), ("11", 2, 0.1, 1.4),
)  # fmt: skip


def participant_id(index: int) -> str:
    """Return the BIDS identifier of patient ``index`` (from 0)."""
    return f"sub-{index + 1:04d}"


def _draws(
    n: int, seed: int, purpose: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    uniform, normal = np.empty((n, RESERVED)), np.empty((n, RESERVED))
    measures = np.empty((n, len(FACTORS) * N_MEASURES))
    for i in range(n):
        rng = np.random.default_rng(seed_of(seed, "phantom", purpose, participant_id(i)))
        rng.random(out=uniform[i])
        rng.standard_normal(out=normal[i])
        rng.standard_normal(out=measures[i])
    first = [NORMAL.index(name) for name in FAMILIAL]
    related = np.zeros(n, dtype=bool)
    for pair in range((n + 1) // 2):
        rng = np.random.default_rng(seed_of(seed, "phantom", purpose, "family", pair))
        members = slice(2 * pair, 2 * pair + 2)
        related[members] = rng.random() < PLANTED["related_pairs"]
        if related[2 * pair]:
            rho = PLANTED["sibling_correlation"]
            shared = rng.standard_normal(RESERVED)[first]
            normal[members, first[0] : first[-1] + 1] *= np.sqrt(1 - rho)
            normal[members, first[0] : first[-1] + 1] += np.sqrt(rho) * shared
    u = {name: uniform[:, k] for k, name in enumerate(UNIFORM)}
    z = {name: normal[:, k] for k, name in enumerate(NORMAL)}
    u["related"] = related.astype(float)
    return u, z, measures


def simulate(n: int, seed: int, *, purpose: str = "cohort") -> Table:
    """Draw the scalars of ``n`` patients; no image is made.

    Parameters
    ----------
    n : int
        Number of patients.
    seed : int
        Seed of the cohort. A patient's values depend on it and on the patient's identifier only.
    purpose : str
        Another word gives an independent cohort of the same law (used for the label-permuted twin).

    Returns
    -------
    dict of ndarray, each of length ``n``
        Volumes are natural logarithms of ml; times are minutes; ``side`` is +1 for a left, −1 for a right
        lesion; ``eta`` is the planted logit of mRS ≤ 1; ``factor_*`` have unit variance; names beginning with
        ``u_`` and ``z_`` are the uniform and normal draws that images and missingness are made from.

    Source: science reference, appendix B.
    """
    u, z, noise = _draws(n, seed, purpose)
    t: Table = {"index": np.arange(n)}
    p = PLANTED
    t["log_v0"] = p["log_v0"]["mean"] + p["log_v0"]["sd"] * z["log_v0"]
    t["reperfused"] = (u["reperfusion"] < p["reperfused"]["probability"]).astype(int)
    yes, no = p["log_v1_minus_log_v0"]["reperfused"], p["log_v1_minus_log_v0"]["not_reperfused"]
    growth = np.where(t["reperfused"] == 1, yes[0] + yes[1] * z["growth"], no[0] + no[1] * z["growth"])
    t["log_v1"] = t["log_v0"] + growth
    t["age"] = p["age"]["mean"] + p["age"]["sd"] * z["age"]
    t["side"] = np.where(u["side"] < 0.5, 1, -1)
    t["territory"] = np.searchsorted(np.cumsum(_TERRITORY_SHARES)[:-1], u["territory"])
    c = p["nihss"]
    noise_24h = 0.8 * z["nihss"] + 0.6 * z["nihss_24h"]
    for name, volume, residual in (("nihss", "log_v0", z["nihss"]), ("nihss_24h", "log_v1", noise_24h)):
        mean = c["intercept"] + c["log_v0"] * t[volume] + c["left_minus_right_half"] * t["side"]
        t[name] = np.clip(np.rint(mean + c["residual_sd"] * residual), 0, 42).astype(int)
    f = p["favourable"]
    t["eta"] = (
        f["intercept"]
        + f["log_v1"] * (t["log_v1"] - f["log_v1_at"])
        + f["age"] * (t["age"] - f["age_at"])
        + f["no_reperfusion"] * (1 - t["reperfused"])
    )
    t["mrs"] = (u["mrs"][:, None] > expit(t["eta"][:, None] + np.array(p["mrs_steps"]))).sum(axis=1)
    t["favourable"] = (t["mrs"] <= 1).astype(int)
    _history(t, u, z)
    _transformation(t, u, z)
    _phenotype(t, u, z, noise)
    t.update({f"u_{name}": value for name, value in u.items()})
    t.update({f"z_{name}": value for name, value in z.items()})
    return t


def _history(t: Table, u: Table, z: Table) -> None:
    """Demography, risk factors, times and treatment; none of them moves the outcome (assumed)."""
    t["male"] = (u["sex"] < 0.55).astype(int)
    t["site"] = (u["site"] * len(SITES)).astype(int)
    pair = t["index"] // 2
    t["family"] = np.where(u["related"] == 1, 2 * pair, t["index"])
    t["htn"], t["dm"], t["af"] = (
        (u[k] < share).astype(int) for k, share in (("htn", 0.65), ("dm", 0.22), ("af", 0.3))
    )
    t["glucose_mg_dl"] = np.rint(np.exp(np.log(112.0) + 0.2 * z["glucose"]) + 45 * t["dm"])
    t["sbp_mmhg"] = np.rint(np.clip(146 + 14 * t["htn"] + 20 * z["sbp"], 80, 240))
    old = expit((t["age"] - 70) / 12 - 1.2)
    t["mrs_premorbid"] = (u["premorbid"][:, None] < old[:, None] * np.array([1.0, 0.45, 0.15])).sum(axis=1)
    t["lkw_to_mri_min"] = np.rint(np.clip(np.exp(5.2 + 0.55 * z["lkw"]), 35, 1400))
    t["ivt"] = ((t["lkw_to_mri_min"] < 270) & (u["ivt"] < 0.65)).astype(int)
    t["evt"] = ((t["nihss"] >= 6) & (u["evt"] < 0.6)).astype(int)
    t["groin_min"] = np.where(
        t["evt"] == 1, t["lkw_to_mri_min"] + np.rint(np.exp(4.0 + 0.35 * z["groin"])), np.nan
    )
    grades = np.where(t["reperfused"] == 1, 3 + (u["tici"] * 3).astype(int), (u["tici"] * 3).astype(int))
    t["tici"] = np.where(t["evt"] == 1, grades, -1)
    t["j0_to_j1_min"] = np.rint(1440 + 240 * (u["j1_time"] - 0.5))
    # A patient who dies within a day must have mRS 6; one who is moved to another hospital may have any.
    t["died_before_j1"] = ((t["mrs"] == 6) & (u["died"] < 0.15)).astype(int)


def _transformation(t: Table, u: Table, z: Table) -> None:
    h = PLANTED["ht_patient"]
    t["kappa_z"] = z["kappa"]
    t["ht_probability"] = expit(
        h["intercept"] + h["z_kappa"] * z["kappa"] + h["z_log_v1"] * (t["log_v1"] - 2.7) / 1.2
    )
    t["ht"] = (u["ht"] < t["ht_probability"]).astype(int)


def _phenotype(t: Table, u: Table, z: Table, noise: np.ndarray) -> None:
    """Four latent classes, told by three factors with η² = 0.1 and not by nine; three measures each."""
    t["stratum"] = (u["stratum"] * PLANTED["strata"]["n"]).astype(int)
    eta2, loading = PLANTED["strata"]["eta2"], PLANTED["measure_loading"]
    signs = {0: [-1, -1, 1, 1], 1: [-1, 1, -1, 1], 2: [-1, 1, 1, -1]}
    for k, name in enumerate(FACTORS):
        value = z[f"factor_{name}"].copy()
        if name in PLANTED["strata"]["factors"]:
            pattern = np.array(signs[PLANTED["strata"]["factors"].index(name)])
            value = np.sqrt(1 - eta2) * value + np.sqrt(eta2) * pattern[t["stratum"]]
        t[f"factor_{name}"] = value
        for m in range(N_MEASURES):
            t[f"{name}_{m + 1}"] = loading * value + np.sqrt(1 - loading**2) * noise[:, N_MEASURES * k + m]
    # Strata differ in ventricle size and in the thickness of the cortical shell.
    t["ventricle_scale"] = np.array([0.85, 0.85, 1.35, 1.35])[t["stratum"]] * np.exp(0.09 * z["ventricle"])
    t["cortex_mm"] = np.array([4.4, 3.3, 4.4, 3.3])[t["stratum"]] + 0.25 * z["cortex"]


def nihss_items(total: int, side: int, rng: np.random.Generator) -> dict[str, int]:
    """Spread a NIHSS total over its items so that they add up to it.

    Parameters
    ----------
    total : int
        0 to 42.
    side : int
        +1 for a left lesion (right-sided weakness, aphasia), −1 for a right one (left-sided weakness,
        neglect).
    rng : Generator
        Points are drawn without replacement, weighted by each item's affinity (Efraimidis & Spirakis 2006).
    """
    owner = np.repeat(np.arange(len(ITEMS)), [item[1] for item in ITEMS])
    weight = np.array([item[2 if side > 0 else 3] for item in ITEMS])[owner]
    taken = owner[np.argsort(np.log(rng.random(owner.size)) / weight)[::-1][:total]]
    points = np.bincount(taken, minlength=len(ITEMS))
    return {item[0]: int(k) for item, k in zip(ITEMS, points, strict=True)}


def missing(t: Table, *, mcar: dict[str, float], pwi_missing_mild: float, pwi_missing_other: float,
            minor_max: int, left_before_j1: float) -> Table:  # fmt: skip
    """Say which images are absent, and why.

    Parameters
    ----------
    t : Table
        From `simulate`.
    mcar : dict
        Role (``pwi``, ``flair``, ``t1w``, ``adc``, ``trace``, ``gre``) → rate of being absent completely at
        random. A patient whose image is absent at one rate is absent at every higher one.
    pwi_missing_mild, pwi_missing_other : float
        Rate of PWI absent at random given severity: NIHSS at most, and above, ``minor_max``.
    left_before_j1 : float
        Rate of patients who were moved before the 24 h visit; those who died before come on top.

    Returns
    -------
    dict of bool ndarray
        One per role, and ``j1``.
    """
    gone = {role: t[f"u_miss_{role}"] < rate for role, rate in mcar.items()}
    rate = np.where(t["nihss"] <= minor_max, pwi_missing_mild, pwi_missing_other)
    gone["pwi"] = gone.get("pwi", np.zeros(rate.shape, dtype=bool)) | (t["u_miss_pwi_mar"] < rate)
    gone["j1"] = (t["died_before_j1"] == 1) | (t["u_left"] < left_before_j1)
    return gone
