"""The head of one patient as functions of position: what tissue is at a point of the scanner's space.

Everything is analytic (distances to warped surfaces), so that one head can be seen on any grid and from any
position without resampling, and its Jacobian against the reference head is known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reperfuse.core.seeds import seed_of

REFERENCE_AXES_MM = (70.0, 85.0, 60.0)
TISSUES = ("csf", "gm", "wm", "skull", "scalp", "eye")
FLUID_MM, SKULL_MM, SCALP_MM = 2.0, 5.5, 5.0
Array = np.ndarray


@dataclass(frozen=True)
class CosineField:
    """A smooth random field of unit variance: a sum of plane waves around one wavelength.

    Parameters
    ----------
    waves : ndarray, shape (3, n)
        Wave vectors in rad/mm.
    phases : ndarray, shape (n,)
    """

    waves: Array
    phases: Array

    @classmethod
    def draw(cls, seed: int, wavelength_mm: float, *, n: int = 16, spread: float = 0.25) -> CosineField:
        """Draw a field; ``spread`` is the relative SD of the wave number."""
        rng = np.random.default_rng(seed)
        direction = rng.standard_normal((3, n))
        direction /= np.linalg.norm(direction, axis=0)
        number = 2 * np.pi / wavelength_mm * np.exp(spread * rng.standard_normal(n))
        return cls((direction * number).astype(np.float32), rng.uniform(0, 2 * np.pi, n).astype(np.float32))

    def __call__(self, points: Array) -> Array:
        """Return the field at points of shape (3, m), in mm."""
        total = np.zeros(points.shape[1], dtype=np.float32)
        for wave, phase in zip(self.waves.T, self.phases, strict=True):
            total += np.cos(wave[0] * points[0] + wave[1] * points[1] + wave[2] * points[2] + phase)
        return total * np.float32(np.sqrt(2.0 / self.phases.size))

    def gradient(self, points: Array) -> Array:
        """Return the gradient per mm, shape (3, m)."""
        total = np.zeros((3, points.shape[1]), dtype=np.float32)
        for wave, phase in zip(self.waves.T, self.phases, strict=True):
            slope = -np.sin(wave[0] * points[0] + wave[1] * points[1] + wave[2] * points[2] + phase)
            total += wave[:, None] * slope
        return total * np.float32(np.sqrt(2.0 / self.phases.size))


@dataclass(frozen=True)
class Head:
    """One patient's head.

    Parameters
    ----------
    axes_mm : tuple of float
        Semi-axes of the brain: left-right, anterior-posterior, superior-inferior.
    ventricle_scale, cortex_mm : float
        Size of the ventricles and thickness of the cortical shell; the strata differ in both.
    warp : tuple of CosineField
        Displacement along x, y, z, in units of ``warp_mm``.
    sulci, folia, depth, uneven : CosineField
        Zero crossings of the first two are sulci; ``depth`` varies how deep they reach, ``uneven`` the bone.
    water, motion : CosineField
        Texture of the tissue's T2 and of its ADC.
    """

    axes_mm: tuple[float, float, float]
    ventricle_scale: float
    cortex_mm: float
    warp: tuple[CosineField, CosineField, CosineField]
    sulci: CosineField
    folia: CosineField
    depth: CosineField
    uneven: CosineField
    water: CosineField
    motion: CosineField
    warp_mm: float = 1.6

    @classmethod
    def draw(
        cls,
        seed: int,
        axes_z: tuple[float, float, float],
        male: int,
        ventricle_scale: float,
        cortex_mm: float,
    ) -> Head:
        """Draw a head; ``axes_z`` are standard normal, 3 % SD each; men's heads are 2 % larger (assumed)."""
        size = 1.01 if male else 0.99
        x, y, z = (r * size * (1 + 0.03 * e) for r, e in zip(REFERENCE_AXES_MM, axes_z, strict=True))
        fields = {
            name: CosineField.draw(seed_of(seed, "anatomy", name), length, spread=spread)
            for name, length, spread in (
                ("warp_x", 110, 0.2), ("warp_y", 110, 0.2), ("warp_z", 110, 0.2), ("sulci", 24, 0.15),
                ("folia", 11, 0.15), ("depth", 40, 0.3), ("uneven", 60, 0.3), ("water", 16, 0.5),
                ("motion", 18, 0.5),
            )
        }  # fmt: skip
        warp = (fields.pop("warp_x"), fields.pop("warp_y"), fields.pop("warp_z"))
        axes = (float(x), float(y), float(z))
        return cls(axes, float(ventricle_scale), float(cortex_mm), warp, **fields)  # type: ignore[arg-type]

    def straighten(self, points: Array) -> Array:
        """Return where points (3, m) of this head lie in the unwarped head, in mm."""
        points = points.astype(np.float32, copy=False)
        return points + np.float32(self.warp_mm) * np.stack([field(points) for field in self.warp])

    def jacobian(self, points: Array) -> Array:
        """Return the determinant of the map from this head to the reference head, at points (3, m)."""
        matrix = np.float32(self.warp_mm) * np.stack([field.gradient(points) for field in self.warp])
        matrix[[0, 1, 2], [0, 1, 2]] += 1.0
        size = np.prod(np.divide(REFERENCE_AXES_MM, self.axes_mm))
        return np.float32(size) * np.linalg.det(np.moveaxis(matrix, 2, 0)).astype(np.float32)

    def radius(self, straight: Array) -> tuple[Array, Array]:
        """Return the relative radius (1 at the brain's surface) and the signed depth below it in mm."""
        a, b, c = self.axes_mm
        x, y, z = straight
        # Narrower in front than behind, squarer than an ellipse, flatter at the base than at the vertex.
        width = a * (0.98 - 0.07 * y / b)
        height = np.where(z < 0, 0.92 * c, c)
        power = np.float32(2.3)
        plane = (np.abs(x / width) ** power + np.abs(y / (0.98 * b)) ** power) ** (2 / power)
        radius = np.sqrt(plane + (z / height) ** 2)
        length = np.sqrt(x * x + y * y + z * z)
        return radius, length * (1.0 / np.maximum(radius, 1e-3) - 1.0)

    def tissues(self, points: Array, blur_mm: float) -> dict[str, Array]:
        """Return the fraction of each tissue at points, between 0 and 1; what is missing to 1 is air.

        Parameters
        ----------
        points : ndarray, shape (3, m)
            RAS mm in the frame of the baseline diffusion image.
        blur_mm : float
            Width of the transitions, for the partial volume of a voxel.

        Returns
        -------
        dict
            `TISSUES`, and ``brain`` (bool, intracranial with ventricles and sulci) and ``depth`` (mm below
            the brain's surface).
        """
        p = self.straighten(points)
        radius, depth = self.radius(p)
        fluid = np.full(depth.shape, -1.0, dtype=np.float32)
        near = np.flatnonzero(depth > -4 * blur_mm)
        fluid[near] = self._fluid_distance(p[:, near], radius[near], depth[near])
        csf_mm = 0.8 + 0.5 * (self.ventricle_scale - 0.85)
        in_brain = _soft(depth, blur_mm)
        csf = _soft(csf_mm - fluid, blur_mm)
        ventricle = _soft(-self._ventricles(p), blur_mm)
        grey = np.maximum(_soft(csf_mm + self.cortex_mm - fluid, blur_mm), _soft(-self._nuclei(p), blur_mm))
        csf = np.maximum(csf, ventricle)
        outside = -depth + self.uneven(points) * 0.8
        head = _soft(FLUID_MM + SKULL_MM + SCALP_MM + 0.8 - outside, blur_mm)
        skull = _soft(FLUID_MM + SKULL_MM - outside, blur_mm)
        space = _soft(FLUID_MM - outside, blur_mm)
        eye = self._eyes(p, blur_mm) * (1 - in_brain)
        rest = 1 - eye
        return {
            "csf": in_brain * csf + np.maximum(space - in_brain, 0) * rest,
            "gm": in_brain * (1 - csf) * grey,
            "wm": in_brain * (1 - csf) * (1 - grey),
            "skull": np.maximum(skull - np.maximum(space, in_brain), 0) * rest,
            "scalp": np.maximum(head - np.maximum(skull, in_brain), 0) * rest,
            "eye": eye,
            "brain": depth > 0,
            "depth": depth,
        }

    def _fluid_distance(self, p: Array, radius: Array, depth: Array) -> Array:
        """Distance in mm to the nearest fluid: the surface, a sulcus, the fissures."""
        x, y, z = p
        # Sampled on rays, so that sulci run inwards from the surface.
        ray = p / np.maximum(radius, 0.35)
        tent = -24 + 0.5 * (y + 45)
        below = np.flatnonzero((z < tent) & (y < -15))
        fold = np.abs(self.sulci(ray)) * np.float32(24 / (2 * np.pi))
        fold[below] = np.abs(self.folia(p[:, below])) * np.float32(11 / (2 * np.pi)) + 0.4
        reach = 13.0 + 5.0 * self.depth(ray)
        sulcus = np.hypot(fold, _over(depth - np.maximum(reach, 2.0)))
        callosum = np.sqrt((y / 54) ** 2 + ((z + 2) / 27) ** 2)
        midline = np.hypot(x, _over((1 - callosum) * 27) + _over(-20 - z))
        sylvian = np.sqrt(
            (0.9 * (z + 1 + 0.4 * (y - 4))) ** 2 + _over(38 - np.abs(x)) ** 2 + _over(np.abs(y - 4) - 26) ** 2
        )
        opening = _over(20 - np.hypot(x, y + 22))
        tentorium = np.hypot(0.9 * (z - tent), _over(y + 30) + opening)
        surface = np.maximum(depth, 0) + 0.3
        return np.minimum.reduce([surface, sulcus, midline, sylvian, tentorium])

    def _ventricles(self, p: Array) -> Array:
        """Signed distance to the ventricles in mm, negative inside."""
        x, y, z = p
        v = self.ventricle_scale
        # Bodies bow outwards towards the frontal horns and, more, towards the atria.
        centre = 7.0 + np.where(y > -6, 7.0, 13.0) * ((y + 6) / 34) ** 2
        wide, tall = 5.2 * v, 8.0 * v**0.8
        rise = z - (11.0 - 0.006 * (y + 4) ** 2)
        body = np.sqrt(((np.abs(x) - centre) / wide) ** 2 + ((y + 4) / 37) ** 4 + (rise / tall) ** 2)
        third = np.sqrt((x / (2.2 * v)) ** 2 + ((y + 8) / 13) ** 2 + ((z + 3) / 11) ** 2)
        fourth = np.sqrt((x / (5 * v)) ** 2 + ((y + 38) / 6) ** 2 + ((z + 40) / 9) ** 2)
        return np.minimum.reduce([(body - 1) * wide, (third - 1) * 2.2 * v, (fourth - 1) * 5 * v])

    def _nuclei(self, p: Array) -> Array:
        """Signed distance to thalamus, lentiform and caudate nuclei in mm, negative inside."""
        x, y, z = np.abs(p[0]), p[1], p[2]
        shift = 2.0 * (self.ventricle_scale - 0.85)
        shapes = (
            ((11 + shift, -13, 2), (7.5, 13, 9)),
            ((24 + shift, 3, 0), (7, 17, 11)),
            ((14 + shift, 20, 8), (4, 10, 9)),
        )
        distances = []
        for (cx, cy, cz), (sx, sy, sz) in shapes:
            ratio = np.sqrt(((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2 + ((z - cz) / sz) ** 2)
            distances.append((ratio - 1) * sx)
        return np.minimum.reduce(distances)

    def _eyes(self, p: Array, blur_mm: float) -> Array:
        a, b, c = self.axes_mm
        away = np.sqrt((np.abs(p[0]) - 0.44 * a) ** 2 + (p[1] - 0.83 * b) ** 2 + (p[2] + 0.74 * c) ** 2)
        return _soft(11.5 - away, blur_mm)


def _soft(distance: Array, width: float) -> Array:
    """Return a smooth step from 0 (outside) to 1 (inside)."""
    return (0.5 * (1.0 + np.tanh(distance / np.float32(width)))).astype(np.float32)


def _over(value: Array) -> Array:
    return np.maximum(value, 0)
