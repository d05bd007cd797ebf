"""Every configuration in one form: what can be chosen about it, how it is fitted, what a fitted one gives."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reperfuse.studies.transformation import baselines, maps, recurrent
from reperfuse.studies.transformation.features import vectors
from reperfuse.studies.transformation.names import MODES
from reperfuse.studies.transformation.scan import Sample, Scan

Array = np.ndarray
Parameters = Mapping[str, Any]
# Vectors of 618 numbers that are made at once.
CHUNK = 20_000


class Fitted(Protocol):
    """A configuration fitted on some patients."""

    @property
    def seen(self) -> frozenset[str]:
        """Patients whose data shaped any part of it."""
        ...

    def predict(self, sample: Sample) -> Array:
        """Return (n,) probabilities of HT."""
        ...

    def predict_brain(self, scan: Scan, where: Array) -> Array:
        """Return (n,) probabilities of the voxels (x, y, z) bool, in C order."""
        ...


class Fit(Protocol):
    """How a configuration is fitted."""

    def __call__(self, sample: Sample, parameters: Parameters, *, seed: int, folder: Path) -> Fitted:
        """Fit on all voxels of a sample; ``folder`` is for the state of a training."""
        ...


@dataclass(frozen=True)
class System:
    """A configuration.

    Parameters
    ----------
    name : str
    points : list of dict
        Hyper-parameters to choose from; one where nothing is to be chosen.
    fit : callable
    """

    name: str
    points: list[dict[str, Any]]
    fit: Fit


@dataclass(frozen=True)
class Vector:
    """A fitted baseline on the vector of 618 numbers."""

    model: baselines.Baseline
    seen: frozenset[str]

    def predict(self, sample: Sample) -> Array:
        """Return (n,) probabilities of HT."""
        parts = [sample.take(np.arange(start, min(start + CHUNK, len(sample))))
                 for start in range(0, len(sample), CHUNK)]  # fmt: skip
        return np.concatenate([self.model.predict(vector_of(one)) for one in parts] or [np.empty(0)])

    def predict_brain(self, scan: Scan, where: Array) -> Array:
        """Return (n,) probabilities of the voxels (x, y, z) bool, in C order."""
        flat, nowhere = np.flatnonzero(where), np.zeros(where.shape, dtype=bool)
        parts = np.array_split(flat, max(1, -(-len(flat) // CHUNK)))
        return np.concatenate([self.predict(scan.sample(part, nowhere)) for part in parts])


def vector_of(sample: Sample) -> Array:
    """Return (n, 618): curves of the patch, AIF of the patient, diffusion of the patch."""
    return vectors(sample.curves, sample.aif[sample.who], sample.dwi)


def systems(section: Mapping[str, Any], *, device: Any, devices: int, threads: int) -> dict[str, System]:
    """Return configuration → system, in the order of the tables.

    Parameters
    ----------
    section : mapping
        ``studies.transformation``.
    device, devices : torch.device or str, int
        On which networks are trained, and how many of them.
    threads : int
        Of the forest.
    """
    search = section["search"]
    asked = {key: values for key, values in search["lstm"].items() if values}
    points = [{**section["lstm"], **one} for one in grid(asked)]
    found = {
        name: System(name, points, partial(_fit_network, name, device=device, devices=devices))
        for name in section["modes"]
    }
    for name in section["baselines"]:
        found[name] = System(name, grid(search[name]), partial(_fit_baseline, name, threads=threads))
    for name in section["maps"]:
        found[name] = System(name, [{}], partial(_fit_map, name))
    return found


def grid(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every combination, the first values first."""
    return [dict(zip(values, one, strict=True)) for one in itertools.product(*values.values())]


def _fit_network(
    name: str, sample: Sample, parameters: Parameters, *, seed: int, folder: Path, device: Any, devices: int
) -> Fitted:
    return recurrent.fit(
        sample, MODES[name], parameters, seed=seed, folder=folder, device=device, devices=devices
    )


def _fit_baseline(
    name: str, sample: Sample, parameters: Parameters, *, seed: int, folder: Path, threads: int
) -> Fitted:
    model = baselines.make(name, parameters, seed, threads)
    model.fit(vector_of(sample), sample.y, sample.who)
    return Vector(model, frozenset(sample.participants))


def _fit_map(name: str, sample: Sample, parameters: Parameters, *, seed: int, folder: Path) -> Fitted:
    return maps.fit(name, sample)
