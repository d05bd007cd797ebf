"""What is collected while one visit's images are prepared; a refused image never stops the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging import brain as brains
from reperfuse.imaging.checks import shape_text
from reperfuse.imaging.diffusion import Diffusion, diffusion_of, read_bvals
from reperfuse.imaging.grids import Interpolation, resample
from reperfuse.imaging.reader import match_grid, read_mask, read_metadata, read_volume
from reperfuse.imaging.series import acquisition, is_synthetic, steady_mean, timing
from reperfuse.imaging.stream import ReadLimits
from reperfuse.imaging.units import AdcUnits
from reperfuse.imaging.volume import Volume, same_grid

ADC_UNIT = "1e-6 mm2/s"
Result = TypeVar("Result")


def onto(volume: Volume, like: Volume, *, interpolation: Interpolation) -> Volume:
    """Return an image of the same session on another image's grid."""
    if same_grid(volume, like):
        return like.like(volume.data)
    return resample(volume, like, np.eye(4), interpolation=interpolation)


@dataclass(frozen=True)
class Source:
    """A raw image and what describes it.

    Parameters
    ----------
    path : Path
        The image.
    metadata : tuple of Path
        JSON files, root of the dataset first.
    bval : Path, optional
        The nearest b-values.
    root : Path, optional
        The dataset; messages name files relative to it, or else by their bare name.
    """

    path: Path
    metadata: tuple[Path, ...] = ()
    bval: Path | None = None
    root: Path | None = None

    @classmethod
    def of(cls, root: Path, files: Sequence[Sequence[str]]) -> Self:
        """Take an entry of the index, ``[[path, stamp], …]``: image first, then metadata, nearest last."""
        image, *others = [Path(root) / path for path, *_ in files]
        bvals = [path for path in others if path.name.endswith(".bval")]
        sidecars = tuple(path for path in others if path.suffix == ".json")
        return cls(image, sidecars, bvals[-1] if bvals else None, Path(root))

    def name(self, path: Path | None = None) -> str:
        """Return how messages call the image, or another file of the dataset."""
        path = path or self.path
        inside = self.root is not None and self.root in path.parents
        return path.relative_to(self.root).as_posix() if inside and self.root else path.name


@dataclass(frozen=True)
class Prepared:
    """What a visit gives.

    Parameters
    ----------
    images : dict
        Among ``adc`` (10⁻⁶ mm²/s, never negative), ``trace``, ``s0``, ``brain`` (bool), all four on one grid,
        and ``flair``, ``t1w``, ``gre``, ``pwi`` (steady-state mean), ``map_<name>``, each on its own.
    faults : list of Fault
    facts : dict
        For the record; see :func:`prepare_visit`.
    sidecars : dict
        Image → fields for its JSON file.
    """

    images: dict[str, Volume]
    faults: list[Fault]
    facts: dict[str, Any]
    sidecars: dict[str, dict[str, Any]]


@dataclass
class Visit:
    """A visit's sources, and what came of them so far."""

    sources: dict[str, Source]
    limits: ReadLimits
    allow_synthetic: bool
    images: dict[str, Volume] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=lambda: {"images": {}})
    sidecars: dict[str, dict[str, Any]] = field(default_factory=dict)
    metadata: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    synthetic: set[str] = field(default_factory=set)

    def attempt(self, role: str, work: Callable[[str], Result]) -> Result | None:
        """Run work on a role's file; None where there is none or where it was refused."""
        if role not in self.sources:
            return None
        try:
            return work(role)
        except Refusal as refusal:
            source, fault = self.sources[role], refusal.fault
            sidecars = {path.name: source.name(path) for path in source.metadata}
            fault = replace(fault, path=sidecars.get(fault.path, fault.path))
            self.faults.append(fault.of("", path=source.name()))
            return None

    def read(self, role: str) -> Volume:
        source = self.sources[role]
        volume, faults = read_volume(
            source.path, limits=self.limits, metadata=source.metadata, name=source.name()
        )
        self.measured(role, volume.metadata)
        self.faults += faults
        self.metadata[role] = volume.metadata
        return volume

    def measured(self, role: str, metadata: Mapping[str, Any]) -> None:
        """Refuse what no scanner has measured (E164); where it is allowed, say that it was used (W164)."""
        source = self.sources[role]
        if not is_synthetic(source.path.name, metadata):
            return
        if not self.allow_synthetic:
            raise Refusal("E164", path=source.name())
        self.synthetic.add(role)
        self.faults.append(Fault("W164", source.name()))

    def single(self, role: str) -> Volume:
        volume = self.read(role)
        if volume.data.ndim == 3:
            return volume
        n_volumes, shape = volume.data.shape[3], shape_text(volume.data.shape)
        raise Refusal(
            "E107", path=self.sources[role].name(), n_volumes=n_volumes, shape=shape, bval="one volume"
        )

    def diffusion(self, role: str, b0_max: float, b_min: float) -> Diffusion:
        volume, source = self.read(role), self.sources[role]
        # An inherited .bval says 0 of every single image in some datasets, the trace included.
        needed = source.bval is not None and (role == "dwi" or volume.data.ndim == 4)
        bvals = read_bvals(source.bval, name=source.name(source.bval)) if needed and source.bval else None
        found, faults = diffusion_of(volume, bvals, b0_max=b0_max, b_min=b_min, path=source.name())
        self.faults += faults
        return found

    def perfusion(self, role: str, **settings: Any) -> None:
        volume, name = self.read(role), self.sources[role].name()
        mean, dropped = steady_mean(volume, path=name, **settings)
        self.keep("pwi", mean, role)
        self.facts["images"]["pwi"]["shape"] = list(volume.data.shape)
        self.facts["pwi"] = {"n_volumes": volume.data.shape[3], "dropped_volumes": dropped}
        # The mean needs no times; `perfusion` does, and says so where they are missing.
        with suppress(Refusal):
            te_s, tr_s, faults = timing(volume.metadata, path=name)
            self.faults += faults
            self.facts["pwi"] |= {"te_s": te_s, "tr_s": tr_s}

    def mask(self, role: str, grids: Sequence[Volume]) -> Volume:
        source = self.sources[role]
        self.measured(role, read_metadata(source.metadata))
        mask, faults = read_mask(source.path, limits=self.limits, name=source.name())
        like = next((grid for grid in grids if same_grid(mask, grid)), grids[0])
        mask, moved = match_grid(mask, like)
        self.faults += [fault.of("", path=source.name()) for fault in [*faults, *moved]]
        return mask

    def within(self, brain: Volume, like: Volume) -> np.ndarray:
        """Return the brain on an image's grid, or the head where there is no brain."""
        mask = onto(brain, like, interpolation="nearest")
        return mask.data if mask.data.any() else brains.head_mask(like.data, like.zooms)

    def on_grid(self, volume: Volume, like: Volume, role: str) -> Volume:
        """Return an image on another's grid in the same scanner space; a change of grid is told (W120)."""
        if not same_grid(volume, like):
            found, expected = shape_text(volume.data.shape), shape_text(like.data.shape)
            values = {"found_shape": found, "expected_shape": expected}
            self.faults.append(Fault("W120", self.sources[role].name(), values))
        return onto(volume, like, interpolation="linear")

    def keep(self, name: str, volume: Volume, role: str) -> None:
        said = acquisition(self.metadata.get(role, {}))
        self.images[name] = Volume(volume.data, volume.affine)
        self.facts["images"][name] = {
            "shape": list(volume.data.shape),
            "zooms_mm": [round(z, 4) for z in volume.zooms],
            "acquisition": said,
        }
        unit = {"Units": ADC_UNIT} if name == "adc" else {}
        self.sidecars[name] = {**said, **unit, "Sources": [f"bids:raw:{self.sources[role].name()}"]}
        if role in self.synthetic:
            self.sidecars[name]["Synthetic"] = self.facts["images"][name]["synthetic"] = True
        if name in ("adc", "trace", "s0") and "skull_stripped" in self.facts:
            self.sidecars[name]["SkullStripped"] = self.facts["skull_stripped"]

    def adc_facts(self, units: AdcUnits, source: str) -> None:
        self.facts["adc_unit"] = {
            "unit": units.unit,
            "scale": units.scale,
            "median": round(units.median, 1),
            "evidence": units.evidence,
        }
        self.facts["adc_source"] = source
        self.facts["adc_negative_percent"] = round(units.negative_percent, 3)

    def brain(self, brain: Volume, method: str, minimum_mm: float) -> None:
        """Keep the brain mask; warn where its size is impossible (W138) or an axis cuts it short (W119)."""
        role = next(r for r in ("brain", "dwi", "trace", "adc") if r in self.sources)
        size_ml, name = float(brain.data.sum()) * brain.voxel_ml, self.sources[role].name()
        if not 0 < size_ml <= brains.BRAIN_MAX_ML:
            sizes = {"brain_ml": f"{size_ml:.0f}", "limit_ml": f"{brains.BRAIN_MAX_ML:g}"}
            self.faults.append(Fault("W138", name, sizes))
        if not size_ml:
            return
        self.images["brain"] = brain
        self.sidecars["brain"] = {"Type": "Brain", "Method": method}
        self.facts["brain_ml"] = round(size_ml, 2)
        self.facts["brain_method"] = method
        extents = []
        for axis, zoom in enumerate(brain.zooms):
            n_slices = int(np.count_nonzero(brain.data.any(axis=tuple(a for a in range(3) if a != axis))))
            extents.append((n_slices * zoom, n_slices))
        coverage, n_slices = min(extents)
        self.facts["coverage_mm"] = round(coverage, 1)
        if coverage < minimum_mm:
            values = {"coverage_mm": f"{coverage:.0f}", "n_slices": n_slices, "minimum_mm": f"{minimum_mm:g}"}
            self.faults.append(Fault("W119", name, values))

    def stated_b_value(self) -> list[float]:
        value = self.metadata.get("trace", {}).get("DiffusionBValue")
        return [float(value)] if isinstance(value, (int, float)) and 0 < value < 1e5 else []

    def done(self) -> Prepared:
        """Return the results; the acquisition is that of the first diffusion image that says something."""
        said = (
            acquisition(self.metadata.get(role, {}))
            for role in ("trace", "dwi", "adc", "flair", "gre", "t1w")
        )
        self.facts["acquisition"] = next(filter(None, said), {})
        return Prepared(self.images, self.faults, self.facts, self.sidecars)
