"""The MNI152 template, as nilearn ships it: no download."""

from __future__ import annotations

import numpy as np
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)

from reperfuse.imaging.volume import Volume

NAME = "MNI152 (ICBM 152 nonlinear symmetric 2009a, T1-weighted, skull-stripped, as nilearn ships it)"


def mni152(*, resolution_mm: int) -> tuple[Volume, Volume]:
    """Return the T1-weighted template and its brain mask (bool).

    Parameters
    ----------
    resolution_mm : int
        Voxel size in mm, at least 1.

    Notes
    -----
    Fonov et al., NeuroImage 54:313 (2011). Intensities run from 0 to 1.
    """
    image = load_mni152_template(resolution=resolution_mm)
    mask = load_mni152_brain_mask(resolution=resolution_mm)
    data = np.clip(np.asarray(image.dataobj, dtype=np.float32), 0, None)
    affine = np.asarray(image.affine, dtype=float)
    return Volume(data, affine), Volume(np.asarray(mask.dataobj) > 0, affine)


def mni152_tissue(*, resolution_mm: int) -> tuple[Volume, Volume]:
    """Return the shares of grey and of white matter in each voxel of the template, 0 to 1.

    Parameters
    ----------
    resolution_mm : int
        Voxel size in mm, at least 1.
    """
    images = [load(resolution=resolution_mm) for load in (load_mni152_gm_template, load_mni152_wm_template)]
    grey, white = (
        Volume(np.asarray(one.dataobj, dtype=np.float32), np.asarray(one.affine)) for one in images
    )
    return grey, white
