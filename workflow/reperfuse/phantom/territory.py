"""The infarct and what surrounds it: which voxels, how deep inside, how leaky, how likely to bleed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.special import expit, ndtr

from reperfuse.core.seeds import seed_of
from reperfuse.phantom.anatomy import Array, CosineField
from reperfuse.phantom.scalars import PLANTED, TERRITORIES
from reperfuse.phantom.view import View

# Centre of each territory as a fraction of the brain's semi-axes, for a right lesion (assumed).
CENTRES = {
    "mca_superior": (0.62, 0.22, 0.28),
    "mca_inferior": (0.66, -0.30, 0.05),
    "mca_deep": (0.34, 0.05, 0.10),
    "aca": (0.16, 0.45, 0.45),
    "pca": (0.25, -0.70, -0.02),
}
CORE_ADC, RIM_ADC = (300.0, 550.0), 620.0
KAPPA_PER_S, KAPPA_LOG_SD = 0.010, (0.5, 0.6)


@dataclass(frozen=True)
class Territory:
    """One patient's vascular territory; a level ρ of it bounds the lesion, a higher one the penumbra.

    Parameters
    ----------
    centre : ndarray, shape (3,)
        mm, unwarped head; x is negative on the left.
    rough, fine, tone, kappa, bleed : CosineField
        Shape of the border (two scales), core ADC, leakage, and where HT falls.
    kappa_z : float
        Leakage of the patient, standard normal.
    """

    centre: Array
    rough: CosineField
    fine: CosineField
    tone: CosineField
    kappa: CosineField
    bleed: CosineField
    kappa_z: float

    @classmethod
    def draw(
        cls,
        seed: int,
        territory: int,
        side: int,
        jitter_z: tuple[float, float, float],
        axes_mm: tuple[float, float, float],
        kappa_z: float,
    ) -> Territory:
        """Place the territory on its side (+1 left) with 5 % jitter."""
        fraction = np.array(CENTRES[TERRITORIES[territory]]) + 0.05 * np.array(jitter_z)
        fraction[0] = max(fraction[0], 0.12) * (-1 if side > 0 else 1)
        fields = [
            CosineField.draw(seed_of(seed, "territory", name), length)
            for name, length in (("rough", 45), ("fine", 16), ("tone", 25), ("kappa", 28), ("bleed", 20))
        ]
        rough, fine, tone, kappa, bleed = fields
        return cls(fraction * np.array(axes_mm), rough, fine, tone, kappa, bleed, float(kappa_z))

    def rho(self, view: View) -> Array:
        """Return ρ over the voxels near the head: about distance/20 mm; infinite where no infarct may be."""
        points = view.head.straighten(view.points)
        same_side = points[0] * np.sign(self.centre[0]) > 1.0
        allowed = np.flatnonzero(view.parenchyma & same_side & (points[2] > -0.75 * view.head.axes_mm[2]))
        points = points[:, allowed]
        offset = points - self.centre[:, None].astype(np.float32)
        # Longer towards the surface than across: wedges in the cortex.
        outward = (self.centre / np.linalg.norm(self.centre)).astype(np.float32)
        radial = outward[0] * offset[0] + outward[1] * offset[1] + outward[2] * offset[2]
        square = (offset**2).sum(axis=0) - 0.45 * radial**2
        rho = np.full(view.inside.size, np.inf, dtype=np.float32)
        rough = 0.30 * self.rough(points) + 0.10 * self.fine(points)
        rho[allowed] = np.sqrt(np.maximum(square, 0)) / 20 + rough
        return rho

    def kappa_score(self, points: Array) -> Array:
        """Return z(κ): the leakage's logarithm, standardised over the cohort (not over the patient)."""
        between, within = KAPPA_LOG_SD
        return (between * self.kappa_z + within * self.kappa(points)) / np.hypot(between, within)

    def leakage(self, points: Array) -> Array:
        """Return κ in 1/s: log-normal around `KAPPA_PER_S`."""
        return KAPPA_PER_S * np.exp(np.hypot(*KAPPA_LOG_SD) * self.kappa_score(points)).astype(np.float32)

    def core_adc(self, points: Array, share: Array) -> Array:
        """Return ADC in 10⁻⁶ mm²/s: 300–550 in the core, rising to 620 over the outer fifth of the lesion."""
        low, high = CORE_ADC
        core = low + (high - low) * ndtr(self.tone(points) - 0.5)
        rim = np.clip((share - 0.8) / 0.2, 0, 1)
        return (core * (1 - rim) + RIM_ADC * rim).astype(np.float32)


def level(rho: Array, volume_ml: float, voxel_ml: float, ceiling: float) -> float:
    """Return the ρ below which ``volume_ml`` lies: at least a voxel, at most the share ``ceiling``."""
    finite = np.sort(rho[np.isfinite(rho)])
    wanted = int(np.clip(round(volume_ml / voxel_ml), 1, max(1, int(ceiling * finite.size))))
    if wanted >= finite.size:
        return float(np.nextafter(finite[-1], np.float32(np.inf)))
    return float(0.5 * (float(finite[wanted - 1]) + float(finite[wanted])))


def share_of(rho: Array, inside: Array) -> Array:
    """Return, for the voxels inside, the fraction of the region that lies deeper (0 core, 1 border)."""
    share = np.full(rho.shape, np.nan, dtype=np.float32)
    ranks = np.argsort(np.argsort(rho[inside], kind="stable"), kind="stable")
    share[inside] = (ranks + 0.5) / max(1, ranks.size)
    return share


def transformation(
    view: View, territory: Territory, lesion: Array, *, present: bool, planted: bool = True
) -> tuple[Array, Array, Array]:
    """Return probability of HT, HT voxels and depth (mm) as whole images.

    Probability is expit(−3 + 1.4 z(κ) + 0.8 z(core depth)), smoothed by 4 mm inside the lesion (science
    reference, appendix B); z(depth) is standardised inside the patient. Voxels are drawn through a smooth
    Gaussian copula, so that they form patches; a patient with HT has at least one.

    Parameters
    ----------
    lesion : ndarray of bool, shape of the view
        The lesion at 24 h.
    present : bool
        Whether the patient transforms at all.
    planted : bool
        False draws HT that depends neither on leakage nor on depth (negative twin).
    """
    spacing = np.linalg.norm(view.affine[:3, :3], axis=0)
    depth = distance_transform_edt(np.pad(lesion, 1), sampling=spacing)[1:-1, 1:-1, 1:-1].astype(np.float32)
    inside = lesion.reshape(-1)[view.inside]
    probability = np.zeros(view.shape, dtype=np.float32)
    bleeding = np.zeros(view.shape, dtype=bool)
    points = view.points[:, inside]
    deep = depth.reshape(-1)[view.inside][inside]
    z_depth = (deep - deep.mean()) / deep.std() if deep.size > 1 and deep.std() > 0 else np.zeros_like(deep)
    c = PLANTED["ht_voxel"]
    slope = 1.0 if planted else 0.0
    logit = c["intercept"] + slope * (c["z_kappa"] * territory.kappa_score(points) + c["z_depth"] * z_depth)
    at = view.inside[inside]
    probability.reshape(-1)[at] = expit(logit)
    weight = gaussian_filter(lesion.astype(np.float32), 4.0 / spacing)
    smooth = gaussian_filter(probability, 4.0 / spacing) / np.maximum(weight, 1e-6)
    probability = np.where(lesion, smooth, 0).astype(np.float32)
    if present:
        chance = ndtr(territory.bleed(points))
        hit = chance < probability.reshape(-1)[at]
        if not hit.any():
            hit[np.argmax(probability.reshape(-1)[at] - chance)] = True
        bleeding.reshape(-1)[at[hit]] = True
    return probability, bleeding, depth
