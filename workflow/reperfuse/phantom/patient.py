"""All images of one patient: what the scanner would have stored, and the truth behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.phantom import contrasts, perfusion_truth, territory
from reperfuse.phantom.anatomy import Array, Head
from reperfuse.phantom.scalars import Table
from reperfuse.phantom.view import View, grid_affine, rigid

# Fraction of the hemisphere's tissue that a lesion may fill.
CEILING = 0.75


@dataclass(frozen=True)
class Site:
    """One hospital's machine: ``adc_factor`` turns 10⁻⁶ mm²/s into the unit that it stores."""

    vendor: str
    field_t: float
    adc_unit: str
    adc_factor: float
    declares_unit: bool
    zero_air: bool
    flip_x: bool


SITES = (
    Site("Siemens", 3.0, "1e-6 mm2/s", 1.0, True, False, False),
    Site("GE", 1.5, "mm2/s", 1e-6, False, True, True),
    Site("Philips", 3.0, "1e-3 mm2/s", 1e-3, True, False, False),
    Site("Siemens", 1.5, "1e-6 mm2/s", 1.0, False, False, False),
)


@dataclass(frozen=True)
class Protocol:
    """How the cohort is scanned: the arguments of `write_cohort` that concern images."""

    seed: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    pwi_in_plane_max: int
    frames: tuple[int, int]
    recirculation: float
    b_s_mm2: float
    snr: float
    bias_sd: float
    contrast_shift_mm: float
    contrast_rotation_deg: float
    j1_shift_mm: float
    j1_rotation_deg: float
    planted: bool = True


@dataclass(frozen=True)
class Shot:
    """One image: data as stored, its affine, and for a series its repetition time."""

    data: Array
    affine: Array
    tr_s: float | None = None


@dataclass
class Patient:
    """One patient's scanner data and truth.

    Parameters
    ----------
    name : str
        BIDS identifier; with the protocol's seed, all that the images depend on beside ``row``.
    row : mapping
        The patient's scalars, from `scalars.simulate`.
    protocol : Protocol
    """

    name: str
    row: Mapping[str, Any]
    protocol: Protocol
    truth: dict[str, Shot] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        """The hospital."""
        return SITES[int(self.row["site"])]

    @cached_property
    def head(self) -> Head:
        """The head."""
        z = self._three("z_axis")
        return Head.draw(
            self.seed("head"), z, int(self.row["male"]), self.row["ventricle_scale"], self.row["cortex_mm"]
        )

    @cached_property
    def territory(self) -> territory.Territory:
        """Where the infarct is."""
        jitter = self._three("z_centre")
        return territory.Territory.draw(
            self.seed("territory"), int(self.row["territory"]), int(self.row["side"]), jitter,
            self.head.axes_mm, float(self.row["kappa_z"]),
        )  # fmt: skip

    @cached_property
    def poses(self) -> dict[str, Array]:
        """4×4 transforms from the RAS mm of the baseline diffusion image to those of each image."""
        p = self.protocol

        def draw(name: str, shift_mm: float, rotation_deg: float) -> Array:
            rng = np.random.default_rng(self.seed("pose", name))
            shift, turn = np.clip(rng.standard_normal((2, 3)), -2, 2)
            return rigid(shift * shift_mm, turn * rotation_deg)

        poses = {"J0_dwi": np.eye(4)}
        for name in ("flair", "t1w", "pwi"):
            poses[f"J0_{name}"] = draw(name, p.contrast_shift_mm, p.contrast_rotation_deg)
        poses["J1_dwi"] = draw("J1", p.j1_shift_mm, p.j1_rotation_deg)
        poses["J1_gre"] = draw("gre", p.contrast_shift_mm, p.contrast_rotation_deg) @ poses["J1_dwi"]
        return poses

    def seed(self, *parts: object) -> int:
        """Return a seed of this patient."""
        return seed_of(self.protocol.seed, "phantom", self.name, *parts)

    def view(self, name: str) -> View:
        """Return the view of an image: ``J0_dwi J0_flair J0_t1w J0_pwi J1_dwi J1_gre``."""
        shape, spacing = self.protocol.shape, self.protocol.spacing_mm
        if name == "J0_pwi":
            coarse = -(-max(shape[:2]) // self.protocol.pwi_in_plane_max)
            shape = (-(-shape[0] // coarse), -(-shape[1] // coarse), shape[2])
            spacing = (spacing[0] * coarse, spacing[1] * coarse, spacing[2])
        return View(self.head, grid_affine(shape, spacing, self.site.flip_x), shape, self.poses[name])

    def scanner(self, name: str) -> contrasts.Scanner:
        """Return the machine that makes an image."""
        return contrasts.Scanner.draw(
            self.seed("scanner", name), snr=self.protocol.snr, bias_sd=self.protocol.bias_sd
        )

    def _three(self, stem: str) -> tuple[float, float, float]:
        x, y, z = (float(self.row[f"{stem}_{axis}"]) for axis in "xyz")
        return x, y, z

    def _keep(self, name: str, view: View, values: Array, dtype: type) -> None:
        self.truth[name] = Shot(view.image(values, dtype), view.affine)

    def diffusion(self, visit: str) -> tuple[dict[str, Shot], float]:
        """Return the diffusion images of a visit, and the ρ of the lesion's border."""
        name = f"{visit}_dwi"
        view, p = self.view(name), self.protocol
        rho = self.territory.rho(view)
        volume = float(np.exp(self.row["log_v0" if visit == "J0" else "log_v1"]))
        border = territory.level(rho, volume, view.voxel_ml, CEILING)
        lesion = rho < border
        share = territory.share_of(rho, lesion)[lesion]
        core = self.territory.core_adc(view.points[:, lesion], share)
        factor = 1.0 + 0.04 * float(np.clip(self.row["z_adc"], -2.5, 2.5)) / 2
        adc = contrasts.adc_map(view, lesion, core, factor)
        series, trace, measured = contrasts.diffusion(
            view, self.scanner(name), lesion, adc, visit=visit, lkw_min=float(self.row["lkw_to_mri_min"]),
            b_s_mm2=p.b_s_mm2, zero_air=self.site.zero_air,
        )  # fmt: skip
        self._keep(f"{visit}_lesion", view, lesion, np.bool_)
        self._keep(f"{visit}_adc", view, np.rint(adc), np.int16)
        self._keep(f"{visit}_brain", view, view.tissues["brain"], np.bool_)
        if visit == "J0":
            self._keep("J0_jacobian", view, np.round(self.head.jacobian(view.points), 5), np.float32)
        self.facts[f"{visit}_lesion_ml"] = float(lesion.sum() * view.voxel_ml)
        self.facts[f"{visit}_brain_ml"] = float(view.tissues["brain"].sum() * view.voxel_ml)
        factor_ = self.site.adc_factor
        stored = measured.astype(np.int16) if factor_ == 1.0 else (measured * np.float32(factor_))
        images = {
            "dwi": Shot(series, view.affine), "trace": Shot(trace, view.affine),
            "adc": Shot(stored, view.affine)
        }  # fmt: skip
        return images, border

    def structural(self, role: str, border: float) -> Shot:
        """Return FLAIR or T1w of J0."""
        view = self.view(f"J0_{role}")
        lesion = self.territory.rho(view) < border
        data = contrasts.weighted_image(
            view, self.scanner(f"J0_{role}"), role, lesion, visit="J0",
            lkw_min=float(self.row["lkw_to_mri_min"]),
        )  # fmt: skip
        return Shot(data, view.affine)

    def gradient_echo(self, border: float) -> Shot:
        """Return T2* of J1, with its HT in the truth."""
        view = self.view("J1_gre")
        rho = self.territory.rho(view)
        lesion = rho < border
        if not lesion.any():
            # A lesion smaller than a voxel may fall between the points of this grid.
            lesion[np.argmin(rho)] = True
        probability, bleeding, _ = territory.transformation(
            view, self.territory, view.image(lesion, np.bool_), present=bool(self.row["ht"]),
            planted=self.protocol.planted,
        )  # fmt: skip
        self.truth["J1_ht"] = Shot(bleeding, view.affine)
        self.truth["J1_ht_probability"] = Shot(np.round(probability, 4), view.affine)
        self._keep("J1_lesion_gre", view, lesion, np.bool_)
        share = float(bleeding.sum() / max(1, lesion.sum()))
        self.facts["ht_ml"] = float(bleeding.sum() * view.voxel_ml)
        self.facts["ht_share"] = share
        data = contrasts.weighted_image(
            view, self.scanner("J1_gre"), "gre", lesion, visit="J1",
            lkw_min=float(self.row["lkw_to_mri_min"]), bleeding=bleeding.reshape(-1)[view.inside],
        )  # fmt: skip
        return Shot(data, view.affine)

    @cached_property
    def timing(self) -> perfusion_truth.Timing:
        """Sampling of the perfusion series: TR 1.5–2.2 s, echo time by field strength, bolus at 12–18 s."""
        low, high = self.protocol.frames
        frames = low + int(float(self.row["u_frames"]) * (high - low + 1))
        tr_s = round(1.5 + 0.7 * float(self.row["u_tr"]), 3)
        te_s = 0.030 if self.site.field_t > 2 else 0.035
        return perfusion_truth.Timing(tr_s, te_s, frames, 12.0 + 6.0 * float(self.row["u_bolus"]))

    def perfusion(self, border: float) -> Shot:
        """Return the DSC series of J0, with its maps and curves in the truth."""
        view, p, timing = self.view("J0_pwi"), self.protocol, self.timing
        maps = perfusion_truth.truth(
            view, self.territory, self.territory.rho(view), core_level=border,
            volume_ml=float(np.exp(self.row["log_v0"])), mismatch=float(self.row["u_mismatch"]),
            timing=timing, recirculation=p.recirculation, seed=self.seed("perfusion"),
            side=int(self.row["side"]),
        )  # fmt: skip
        data = perfusion_truth.series(view, self.scanner("J0_pwi"), maps, timing, p.recirculation)
        brain = view.tissues["brain"]
        self._keep("J0_delay", view, np.round(maps.delay_s, 3), np.float32)
        self._keep("J0_cbf", view, np.round(maps.cbf, 2), np.float32)
        self._keep("J0_mtt", view, np.where(brain, np.round(maps.mtt_s, 3), 0), np.float32)
        self._keep("J0_kappa", view, np.round(maps.kappa_per_s, 6), np.float32)
        self._keep("J0_hypoperfused", view, maps.hypoperfused, np.bool_)
        self._keep("J0_aif", view, maps.aif_voxels, np.bool_)
        self._keep("J0_vof", view, maps.vof_voxels, np.bool_)
        self.facts["tmax6_ml"] = float((maps.delay_s > 6).sum() * view.voxel_ml)
        self.facts["cbf_scale"] = maps.cbf_scale
        self.facts["curves"] = {"time_s": timing.times_s, "aif_per_s": maps.aif, "vof_per_s": maps.vof}
        return Shot(data, view.affine, timing.tr_s)


def row_of(table: Table, index: int) -> dict[str, Any]:
    """Return one patient's scalars."""
    return {name: values[index] for name, values in table.items()}
