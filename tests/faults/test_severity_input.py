"""What the severity study makes of poor images, and of a training that is ended: rows of the catalogue of faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reperfuse.core.errors import Fault
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.studies.severity import imaged, inputs
from reperfuse.studies.shown import shown_images
from tests.studies.severity.made_cohorts import small_section

AFFINE = np.diag([4.0, 4.0, 6.0, 1.0])
ASKED: dict[str, Any] = {
    "channels": ["trace", "lesion"], "space": "native", "cell_mm": 24, "leave_out": ["W119", "W122"],
    "grid": {"shape": [12, 16, 16], "spacing_mm": [8, 8, 8]},
}  # fmt: skip


def patient(folder: Path, *, lesion: bool = True, faults: tuple[Fault, ...] = ()) -> tuple[Any, Any]:
    """Write a trace, a brain and a lesion mask; return them as the rule gives them, and the records."""
    rng = np.random.default_rng(1)
    trace = rng.normal(300, 30, (30, 32, 16)).astype(np.float32)
    brain = np.zeros(trace.shape, dtype=np.float32)
    brain[3:27, 3:29, 2:14] = 1
    mask = np.zeros(trace.shape, dtype=np.float32)
    if lesion:
        mask[8:12, 10:15, 6:9] = 1
    paths = []
    for name, data in (("trace", trace), ("brain", brain), ("lesion", mask)):
        paths.append(folder / f"sub-1/J0_{name}.nii.gz")
        write_volume(paths[-1], Volume(data, AFFINE), {})
    rows = [{"visit": "J0", "session_id": "ses-01", "criterion": "given", "volume_ml": 1.0, "side": "left"}]
    records = {
        "sub-1": {
            "prepare": {"faults": [one.as_dict() for one in faults], "facts": {}},
            "lesions": {"faults": [], "facts": {"rows": rows, "space": {}}},
        }
    }
    return shown_images(paths, *inputs.NAMES, visits=("J0",)), records


# 27: an image without any lesion


def test_27_an_image_without_a_lesion_is_shown_and_its_lesion_is_nothing(tmp_path: Path) -> None:
    """Whether it can be carried to the template does not matter."""
    arrays, facts, faults = inputs.chunk_inputs(*patient(tmp_path, lesion=False), {}, **ASKED)
    assert not facts["left_out"] and not faults
    trace, lesion = arrays["sub-1/image"].astype(float)
    assert trace.any() and not lesion.any() and not arrays["sub-1/cells"].any()


# 24: a field of view that misses too much


def test_24_a_grid_that_holds_less_than_half_of_the_brain_leaves_the_patient_out(tmp_path: Path) -> None:
    asked = {**ASKED, "grid": {"shape": [4, 6, 6], "spacing_mm": [8, 8, 8]}}
    arrays, facts, faults = inputs.chunk_inputs(*patient(tmp_path), {}, **asked)
    assert not arrays and [fault.code for fault in faults] == ["E153"]
    assert "% of the brain" in facts["left_out"]["sub-1"]


@pytest.mark.parametrize(("leave_out", "stays"), [(["W119", "W122"], False), ([], True)])
def test_24_a_finding_that_keeps_patients_out_does_so_where_it_is_asked_for(
    leave_out: list[str], stays: bool, tmp_path: Path
) -> None:
    few = Fault("W119", "", {"percent": "31", "slices": "6", "mm": "36", "limit": "60"}).of("sub-1", "ses-01")
    shown, records = patient(tmp_path, faults=(few,))
    arrays, facts, _ = inputs.chunk_inputs(shown, records, {}, **{**ASKED, "leave_out": leave_out})
    assert ("sub-1/image" in arrays) is stays and ("sub-1" not in facts["left_out"]) is stays


def test_24_an_image_whose_brain_is_empty_leaves_the_patient_out(tmp_path: Path) -> None:
    shown, records = patient(tmp_path)
    path = shown["sub-1"]["J0"]["brain"]
    write_volume(path, Volume(np.zeros((30, 32, 16), np.float32), AFFINE), {})
    arrays, facts, faults = inputs.chunk_inputs(shown, records, {}, **ASKED)
    assert not arrays and list(facts["left_out"]) == ["sub-1"] and [one.code for one in faults] == ["E111"]


# 53: a training that is ended


def test_53_a_training_that_is_ended_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = small_section(training={"epochs": 3, "batch": 4})
    rng = np.random.default_rng(2)
    images = rng.normal(5, 1, (12, 1, 4, 6, 6)).astype(np.float16)
    y, inner = np.tile([0, 1], 6), np.repeat([1, 2], 6)

    def fitted(folder: Path) -> imaged.Imaged:
        return imaged.fit(
            "tractnet", imaged.effective(section, ""), images, y, y * 8.0, inner,
            channels=["trace"], seed=3, device="cpu", devices=1, folder=folder,
        )  # fmt: skip

    whole = fitted(tmp_path / "whole")
    loss, calls = imaged.Imaging.loss, []

    def ends(self: imaged.Imaging, module: Any, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return loss(self, module, batch)

    with monkeypatch.context() as patch:
        patch.setattr(imaged.Imaging, "loss", ends)
        patch.setattr(imaged, "EVERY", 1)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / "ended")
    again = fitted(tmp_path / "ended")
    np.testing.assert_array_equal(again.oof, whole.oof)
    np.testing.assert_array_equal(again.predict(images), whole.predict(images))
