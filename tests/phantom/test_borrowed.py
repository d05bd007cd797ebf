"""Series in real anatomy: labelled for what they are, coarser than it, with the bolus where it was planted."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.core.tables import read_table
from reperfuse.imaging.series import is_synthetic
from reperfuse.phantom.borrowed import main

SERIES = "perf/{0}_ce-gadolinium_desc-synth_dsc"


def digests(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def head(folder: Path) -> Path:
    """A dataset of one small skull-stripped head with a lesion on its left, trace and ADC in mm²/s."""
    shape, affine = (60, 72, 24), np.diag([-2.5, 2.5, 5.0, 1.0])
    affine[:3, 3] = [75, -90, -60]
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    brain = (x / 0.85) ** 2 + (y / 0.9) ** 2 + (z / 0.9) ** 2 < 1
    adc = np.where(brain, 8e-4, 0).astype(np.float32)
    trace = np.where(brain, 300 + 100 * np.sin(20 * x) * np.sin(18 * y), 0).astype(np.float32)
    lesion = brain & ((x - 0.5) ** 2 + (y - 0.1) ** 2 + (z - 0.1) ** 2 < 0.03)
    adc[lesion], trace[lesion] = 4.5e-4, 900
    dwi = folder / "sub-a1/dwi"
    dwi.mkdir(parents=True)
    nib.save(nib.Nifti1Image(adc, affine), dwi / "sub-a1_ADC.nii.gz")
    nib.save(nib.Nifti1Image(trace, affine), dwi / "sub-a1_trace.nii.gz")
    (folder / "dataset_description.json").write_text('{"Name": "Real", "BIDSVersion": "1.11.1"}')
    (folder / "participants.tsv").write_text("participant_id\nsub-a1\n")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("borrowed")
    main(["anatomy", str(head(root / "source")), str(root / "bids"), str(root / "truth")])
    return root


def test_a_series_says_everywhere_that_it_was_computed(made: Path) -> None:
    stem = made / "bids/sub-a1" / SERIES.format("sub-a1")
    sidecar = json.loads(stem.with_name(stem.name + ".json").read_text())
    assert is_synthetic(stem.name + ".nii.gz", {}) and is_synthetic("x_dsc.nii.gz", sidecar)
    described = json.loads((made / "bids/dataset_description.json").read_text())
    assert "Semi-synthetic" in described["Name"] and "COMPUTED" in (made / "bids/README").read_text()
    assert json.loads((made / "source/dataset_description.json").read_text())["Name"] == "Real"


def test_the_anatomy_is_linked_not_copied(made: Path) -> None:
    link = made / "bids/sub-a1/dwi/sub-a1_ADC.nii.gz"
    assert link.is_symlink() and link.resolve() == (made / "source/sub-a1/dwi/sub-a1_ADC.nii.gz").resolve()


def test_the_bolus_is_where_it_was_planted(made: Path) -> None:
    image = nib.nifti1.load(made / "bids/sub-a1" / (SERIES.format("sub-a1") + ".nii.gz"))
    series, truth = np.asarray(image.dataobj, float), made / "truth/sub-a1"
    anatomy = nib.nifti1.load(made / "source/sub-a1/dwi/sub-a1_trace.nii.gz")
    assert all(n < m for n, m in zip(series.shape[:2], anatomy.shape[:2], strict=True))
    assert image.header.get_zooms()[3] == pytest.approx(1.8)

    def truly(name: str) -> np.ndarray:
        return np.asarray(nib.nifti1.load(truth / f"J0_{name}.nii.gz").dataobj)

    late, delay, brain = truly("hypoperfused") > 0, truly("delay"), truly("brain") > 0
    assert delay[late].min() >= 2 and delay[late].max() == pytest.approx(12, abs=0.1)
    assert not delay[~late].any() and late.sum() > 100 and brain[late].all()
    # The array's first axis runs to the left, and so did the lesion lie.
    assert np.argwhere(late)[:, 0].mean() > np.argwhere(brain)[:, 0].mean()
    assert np.argwhere(truly("aif"))[:, 0].mean() < np.argwhere(brain)[:, 0].mean()
    times = np.array([float(row["time_s"]) for row in read_table(truth / "curves.tsv")])
    course = {name: series[mask].mean(axis=0) for name, mask in (("late", late), ("rest", brain & ~late))}
    lowest = {name: times[3 + values[3:].argmin()] for name, values in course.items()}
    assert lowest["late"] > lowest["rest"] + 1.8
    artery = np.array([float(row["aif_per_s"]) for row in read_table(truth / "curves.tsv")])
    assert times[artery.argmax()] < lowest["rest"]
    vessel = series[truly("aif") > 0].mean(axis=0)
    assert times[3 + vessel[3:].argmin()] == pytest.approx(times[artery.argmax()], abs=1.8)


def test_the_same_call_writes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    main(["anatomy", str(made / "source"), str(tmp_path / "bids"), str(tmp_path / "truth")])
    assert digests(tmp_path / "truth") == digests(made / "truth")
    assert digests(tmp_path / "bids") == digests(made / "bids")


def test_a_folder_without_patients_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no patients"):
        main(["anatomy", str(tmp_path / "empty"), str(tmp_path / "bids"), str(tmp_path / "truth")])


def test_the_reference_object_gives_its_concentration_back(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "dsc-dro"
    main(["reference-object", str(source), str(tmp_path / "bids"), str(tmp_path / "truth")])
    path = tmp_path / "bids/sub-dro" / (SERIES.format("sub-dro") + ".nii.gz")
    series = np.asarray(nib.nifti1.load(path).dataobj, float)
    assert series.shape == (33, 33, 1, 40) and not series[:4].any()
    given = np.asarray(nib.nifti1.load(source / "test_concentration.nii").dataobj)
    np.testing.assert_allclose(-np.log(series[4:29, 4:29] / 1000), given, atol=0.002)
    mask = tmp_path / "bids/derivatives/manual/sub-dro/perf/sub-dro_label-AIF_mask.nii.gz"
    assert np.asarray(nib.nifti1.load(mask).dataobj).sum() == 625
