"""Volumes of late tissue, their ratios, and the rules of trials."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.imaging.volume import Volume
from reperfuse.perfusion.volumes import RULES, healthier_side, late_levels, perfused_tissue, perfusion_volumes

VOXEL_ML = 0.1
AFFINE = np.diag([5.0, 5.0, 4.0, 1.0])
SETTINGS = {
    "thresholds_s": [4, 6, 8, 10],
    "rttp_s": 4.5,
    "csf_share": 0.2,
    "min_component_ml": 1.0,
    "connectivity": 6,
}
SHAPE = (20, 20, 20)


def volume(data: np.ndarray) -> Volume:
    return Volume(data.astype(np.float32), AFFINE)


def block(first: int, last: int) -> np.ndarray:
    """A slab of 400 voxels (40 ml) per index."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[first:last] = True
    return mask


@pytest.mark.parametrize(
    ("hypoperfused", "core", "defuse3", "extend"),
    [
        (126.0, 69.9, True, True),
        (126.0, 70.0, False, False),  # the core is not below 70 ml
        (54.0, 30.0, True, True),  # exactly 1.8, which DEFUSE 3 lets in
        (53.9, 30.0, False, True),
        (15.0, 0.0, True, True),  # without a core the ratio is as large as one may wish
        (10.0, 0.0, False, False),  # EXTEND wants more than 10 ml
        (72.0, 60.0, False, False),  # exactly 1.2, which EXTEND does not let in
        (72.1, 60.0, False, True),
        (0.0, 0.0, False, False),
    ],
)
def test_the_rules_of_trials_at_their_limits(
    hypoperfused: float, core: float, defuse3: bool, extend: bool
) -> None:
    assert RULES["defuse3"].holds(hypoperfused, core) is defuse3
    assert RULES["extend"].holds(hypoperfused, core) is extend


@given(st.floats(0, 300), st.floats(0, 300), st.floats(0, 100))
def test_more_late_tissue_never_ends_a_mismatch(hypoperfused: float, core: float, more: float) -> None:
    for rule in RULES.values():
        assert rule.holds(hypoperfused + more, core) or not rule.holds(hypoperfused, core)


def test_volumes_ratios_and_rules_of_planted_maps() -> None:
    valid = block(0, 20)
    tmax, cbv = np.ones(SHAPE), np.full(SHAPE, 4.0)
    tmax[block(0, 5)], tmax[block(0, 2)] = 7, 12
    cbv[block(0, 5)] = 3.0
    core = block(0, 1)
    found = perfusion_volumes(
        {
            "tmax": volume(tmax),
            "area": volume(cbv),
            "cbv": volume(cbv),
            "rttp": volume(np.where(tmax > 6, 5, 0)),
        },
        valid,
        core,
        core_ml=40.0,
        **SETTINGS,
    )
    assert found["volumes_ml"] == {
        "rttp4.5": 200, "core": 40, "tmax4": 200, "tmax6": 200, "tmax8": 80, "tmax10": 80, "mismatch": 160,
    }  # fmt: skip
    assert (found["hir"], found["cbv_index"], found["mismatch_ratio"]) == (0.4, 0.75, 5.0)
    assert found["defuse3"] is True and found["extend"] is True
    assert found["agreement"] == {"rttp_minus_tmax6_ml": 0, "dice": 1}


def test_without_a_core_there_is_no_mismatch_and_without_an_artery_no_tmax() -> None:
    maps = {
        "tmax": volume(np.full(SHAPE, 7)),
        "area": volume(np.ones(SHAPE)),
        "cbv": volume(np.ones(SHAPE)),
        "rttp": volume(np.zeros(SHAPE)),
    }
    found = perfusion_volumes(maps, block(0, 20), None, core_ml=None, **SETTINGS)
    assert found["volumes_ml"]["tmax6"] == 800 and "mismatch" not in found["volumes_ml"]
    assert found["defuse3"] is None and found["cbv_index"] is None, (
        "there is no normal tissue to compare with"
    )
    alone = perfusion_volumes(
        {key: maps[key] for key in ("area", "rttp")}, block(0, 20), block(0, 1), core_ml=40.0, **SETTINGS
    )
    assert alone["volumes_ml"] == {"rttp4.5": 0, "core": 40} and alone["extend"] is None


def test_small_components_and_fluid_do_not_count() -> None:
    tmax, cbv = np.zeros(SHAPE), np.full(SHAPE, 4.0)
    tmax[3, 3, 3:8] = 20  # 0.5 ml
    fluid = block(10, 12)
    tmax[fluid], cbv[fluid] = 20, 0.1
    maps = {"tmax": volume(tmax), "area": volume(cbv), "cbv": volume(cbv)}
    assert perfusion_volumes(maps, block(0, 20), None, core_ml=None, **SETTINGS)["volumes_ml"]["tmax6"] == 0
    inside = perfusion_volumes(maps, block(0, 20), fluid, core_ml=80.0, **SETTINGS)["volumes_ml"]
    assert inside["tmax6"] == 80, "in the core no flow is ischaemia, not fluid"


def test_the_rules_take_the_core_as_it_was_measured_also_beyond_the_slab() -> None:
    maps = {name: volume(np.full(SHAPE, value)) for name, value in (("tmax", 7), ("cbv", 4), ("area", 4))}
    found = perfusion_volumes(maps, block(1, 20), block(0, 2), core_ml=90.0, **SETTINGS)
    assert found["volumes_ml"]["core"] == 90 and found["defuse3"] is False


def test_other_thresholds_leave_those_of_the_definitions() -> None:
    maps = {"tmax": volume(np.full(SHAPE, 11)), "area": volume(np.ones(SHAPE)), "cbv": volume(np.ones(SHAPE))}
    found = perfusion_volumes(maps, block(0, 20), None, core_ml=None, **{**SETTINGS, "thresholds_s": [5]})
    assert found["volumes_ml"].keys() == {"tmax5", "tmax6", "tmax10"} and found["hir"] == 1


@given(st.floats(0, 1))
def test_tissue_is_within_the_valid_brain(share: float) -> None:
    random = np.random.default_rng(0)
    valid = random.random(SHAPE) > 0.5
    tissue = perfused_tissue(valid, valid, random.normal(4, 2, SHAPE), ~valid, csf_share=share)
    assert not (tissue & ~valid).any() and tissue.any()


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("late_left", [False, True])
def test_the_reference_is_the_side_where_contrast_peaks_earlier(late_left: bool, flipped: bool) -> None:
    affine = AFFINE.copy()
    affine[:3, 3] = [-47.5, -47.5, -38]
    if flipped:
        affine[0] *= -1
    index = np.indices(SHAPE)
    brain = Volume(((index - 9.5) ** 2).sum(axis=0) < 81, affine)
    x = (index[0] - 9.5) * (-1 if flipped else 1)
    ttp = np.where((x < 0) == late_left, 22.0, 20.0)
    ttp[(index[1] < 12)] = 20.0  # late in a part only
    side = healthier_side(brain, ttp, brain.data)
    assert side.any() and ((x[side] > 0) == late_left).all()


def test_levels_are_drawn_where_volumes_were_counted() -> None:
    tmax, cbv = np.ones(SHAPE), np.full(SHAPE, 4.0)
    tmax[block(0, 5)], tmax[block(0, 2)] = 7, 12
    tmax[19, 19, 19] = 12  # an island below the least component
    maps, valid = {"tmax": volume(tmax), "area": volume(cbv), "cbv": volume(cbv)}, block(0, 20)
    settings = {key: value for key, value in SETTINGS.items() if key != "rttp_s"}
    found = late_levels(maps, valid, None, **settings)
    volumes = perfusion_volumes(maps, valid, None, core_ml=None, **SETTINGS)["volumes_ml"]
    assert found is not None
    for limit in SETTINGS["thresholds_s"]:
        assert np.count_nonzero(found.data >= limit) * VOXEL_ML == pytest.approx(volumes[f"tmax{limit}"])
    assert late_levels({"area": maps["area"]}, valid, None, **settings) is None
