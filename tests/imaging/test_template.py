from __future__ import annotations

import numpy as np
import pytest

from reperfuse.imaging.grids import centre_mm
from reperfuse.imaging.template import mni152


@pytest.mark.parametrize(("resolution_mm", "shape"), [(2, (99, 117, 95)), (4, (50, 59, 48))])
def test_the_template_is_where_mni_puts_it(resolution_mm: int, shape: tuple[int, ...]) -> None:
    template, mask = mni152(resolution_mm=resolution_mm)
    assert template.data.shape == mask.data.shape == shape
    assert template.data.dtype == np.float32 and mask.data.dtype == bool
    assert template.zooms == pytest.approx((resolution_mm,) * 3)
    assert np.array_equal(template.affine, mask.affine)
    assert 1800 < mask.data.sum() * mask.voxel_ml < 1950
    # The origin is the anterior commissure: the brain's centre is behind and above it, and on the midline.
    centre = centre_mm(mask, mask.data)
    assert abs(centre[0]) < 1 and -25 < centre[1] < -10 and 0 < centre[2] < 15
    assert template.data.min() == 0 and 0.9 < template.data.max() <= 1
    assert template.data[~mask.data].mean() < 0.01
