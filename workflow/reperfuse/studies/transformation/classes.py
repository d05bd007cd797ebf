"""Severity of a haemorrhage from its mask: ECASS and Heidelberg classes by volume share.

ECASS II (Hacke 1998, doi 10.1016/S0140-6736(98)08020-9) tells petechial from confluent haemorrhage and these from
parenchymal haematoma up to and above 30 % of the infarct, the latter with a mass effect; Heidelberg (von Kummer 2015,
doi 10.1161/STROKEAHA.115.010049) adds what lies outside the infarct. A mask shows neither mass effect nor density, so
that a class from here is one `by volume share`, and ventricles or the subarachnoid space are not told from remote
parenchyma: class 3 has no letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from reperfuse.imaging.volume import Volume

BY_VOLUME = "by volume share"
ORDER = ("none", "HI1", "HI2", "PH1", "PH2")
HEIDELBERG: Mapping[str, str] = {"none": "0", "HI1": "1a", "HI2": "1b", "PH1": "1c", "PH2": "2"}


@dataclass(frozen=True)
class Bleeding:
    """What a mask of haemorrhage says.

    Attributes
    ----------
    volume_ml, largest_ml : float
        Of all and of the largest cluster.
    n_clusters : int
    remote_ml : float or None
        Of clusters that lie farther from the infarct than the margin; None without an infarct.
    """

    volume_ml: float
    largest_ml: float
    n_clusters: int
    remote_ml: float | None


def clusters(mask: np.ndarray, voxel_ml: float, *, min_ml: float) -> tuple[np.ndarray, list[int]]:
    """Return the labels of a mask's clusters, voxels that share a corner together, and those of at least ``min_ml``."""
    labels, _ = ndimage.label(mask, ndimage.generate_binary_structure(3, 3))
    sizes = np.bincount(labels.ravel()) * voxel_ml
    return labels, [k for k in range(1, sizes.size) if sizes[k] >= min_ml * (1 - 1e-6)]


def bleeding(mask: Volume, infarct: np.ndarray | None, *, remote_mm: float) -> Bleeding:
    """Measure a mask of haemorrhage.

    Parameters
    ----------
    mask : Volume of bool
    infarct : ndarray of bool or None
        On the same grid; None, or empty, where none is known.
    remote_mm : float
        A cluster whose nearest voxel is farther from the infarct is remote.
    """
    labels, kept = clusters(mask.data, mask.voxel_ml, min_ml=0)
    sizes = np.bincount(labels.ravel(), minlength=len(kept) + 1)[1:] * mask.voxel_ml
    if not kept:
        return Bleeding(0.0, 0.0, 0, None if infarct is None or not infarct.any() else 0.0)
    remote = None
    if infarct is not None and infarct.any():
        distance = ndimage.distance_transform_edt(~infarct, sampling=mask.zooms)
        nearest = np.asarray(ndimage.minimum(distance, labels, kept))
        remote = float(sizes[nearest > remote_mm].sum())
    return Bleeding(float(sizes.sum()), float(sizes.max()), len(kept), remote)


def ecass(
    found: Bleeding, infarct_ml: float | None, *, petechia_ml: float, solid_percent: float, ph2_percent: float
) -> str | None:
    """Return the ECASS class by volume share.

    Parameters
    ----------
    found : Bleeding
    infarct_ml : float or None
    petechia_ml : float
        Clusters that are all smaller are petechiae: HI1.
    solid_percent : float
        A largest cluster that is a smaller share of the infarct is confluent petechiae, HI2, and no haematoma.
    ph2_percent : float
        Share of the infarct above which a haematoma is PH2.

    Returns
    -------
    str or None
        None where there is haemorrhage beyond petechiae, but no infarct to hold it against.
    """
    if not found.n_clusters:
        return "none"
    if found.largest_ml < petechia_ml:
        return "HI1"
    if not infarct_ml:
        return None
    if 100 * found.largest_ml / infarct_ml < solid_percent:
        return "HI2"
    return "PH1" if 100 * found.volume_ml / infarct_ml <= ph2_percent else "PH2"


def heidelberg(ecass_class: str | None, found: Bleeding | None) -> str | None:
    """Return the Heidelberg class: that of the ECASS class, or 3 where all haemorrhage is remote from the infarct."""
    remote = found.remote_ml if found is not None and found.n_clusters else None
    if found is not None and remote is not None and remote >= found.volume_ml * (1 - 1e-6):
        return "3"
    return HEIDELBERG.get(ecass_class or "")
