"""Maps of what a configuration looked at: whose, where, and that they add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reperfuse.core.files import read_json
from reperfuse.evaluation.interface import Prediction
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import Volume, verify, write_volume
from reperfuse.learning.encode import encode
from reperfuse.learning.weights import load_encoder
from reperfuse.studies.explained import chosen, shares
from reperfuse.studies.outcome.directions import Direction
from reperfuse.studies.outcome.saliency import explain, saliency

NAME, TARGET = "J1_mri+clinical+lesion", "mrs_3m<=1"
AFFINE = np.diag([-4.0, 4.0, 8.0, 1.0])
ENCODER = {"variant": "medicalnet_dilated", "weights": None, "sha256": "", "allow_random_weights": True}
ENCODER |= {"seed": 1, "shape": (8, 32, 32), "clip": 3000.0, "background": "noise", "device": "cpu"}


def prediction(who: str, y: int, score: float, **changed: object) -> Prediction:
    fields = {
        "session_id": "ses-02",
        "target": TARGET,
        "configuration": NAME,
        "split": "cv",
        "repeat": 1,
        "fold": 1,
    }
    return Prediction(**{"participant_id": who, "y_true": y, "y_score": score, **fields, **changed})


def test_the_most_certain_right_and_wrong_predictions_are_chosen() -> None:
    mine = [prediction("sub-a", 1, 0.9), prediction("sub-b", 0, 0.1), prediction("sub-c", 1, 0.7)]
    mine += [prediction("sub-d", 1, 0.3), prediction("sub-e", 0, 0.95), prediction("sub-f", 0, 0.6)]
    other = [
        prediction("sub-z", 1, 0.99, repeat=2),
        prediction("sub-z", 1, 0.99, target="mrs_3m<=2"),
        prediction("sub-z", 1, 0.99, configuration="J0_mri"),
        prediction("sub-z", 1, 0.99, split="external:b"),
    ]
    found = chosen([*other, *reversed(mine)], NAME, TARGET, n=4)
    assert [one.participant_id for one in found] == ["sub-a", "sub-b", "sub-e", "sub-d"]
    assert [one.participant_id for one in chosen(mine, NAME, TARGET, n=3)] == ["sub-a", "sub-b", "sub-e"]
    assert len(chosen(mine, NAME, TARGET, n=20)) == 6
    assert chosen(mine, NAME, TARGET, n=0) == []


def test_shares_compare_the_lesion_with_chance() -> None:
    field, brain, lesion = (np.zeros((4, 4, 2)) for _ in range(3))
    brain[:2], lesion[0] = 1, 1  # 16 voxels, 8 of them lesion
    field[0], field[1], field[2] = -3.0, 1.0, 4.0
    found = shares(*(Volume(one.astype(np.float32), AFFINE) for one in (field, brain, lesion)))
    assert found == pytest.approx({"share_in_lesion": 0.75, "lesion_share": 0.5, "share_outside_brain": 0.5})
    elsewhere = Volume(lesion.astype(np.float32), AFFINE + np.eye(4)[:, [3, 0, 1, 2]])
    for none in (None, elsewhere, Volume(np.zeros((4, 4, 2), np.float32), AFFINE)):
        found = shares(Volume(field, AFFINE), Volume(brain, AFFINE), none)
        assert found["share_in_lesion"] is None and found["lesion_share"] is None


def random_directions(*folds: int) -> dict[int, Direction]:
    random = np.random.default_rng(5)
    return {
        fold: Direction(random.standard_normal(2048).astype(np.float32) / 45, 0.25 * fold) for fold in folds
    }


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Images of two patients; the second has no lesion mask."""
    folder, random = tmp_path_factory.mktemp("work"), np.random.default_rng(2)
    paths: dict = {}
    for who in ("sub-0001", "sub-0002"):
        brain = np.zeros((30, 30, 8), np.float32)
        brain[5:25, 5:25, 1:7] = 1
        lesion = np.zeros_like(brain)
        lesion[8:12, 8:12, 3:5] = 1
        adc = np.where(brain > 0, 800 + 100 * random.standard_normal(brain.shape), 0) - 400 * lesion
        own = {"adc": adc.astype(np.float32), "brain": brain, "lesion": lesion}
        for name, data in own.items():
            path = folder / who / f"J1_{name}.nii.gz"
            write_volume(path, Volume(data, AFFINE))
            paths.setdefault(who, {}).setdefault("J1", {})[name] = path
    del paths["sub-0002"]["J1"]["lesion"]
    return paths


def test_the_mean_of_a_map_is_what_the_image_adds_to_the_decision(shown: dict) -> None:
    encoder, _ = load_encoder("medicalnet_dilated", None, sha256="", allow_random=True, seed=1)
    image = np.random.default_rng(0).standard_normal((16, 32, 32), dtype=np.float32)
    # A grid on which the map needs no resampling: voxels of the image as those of the map.
    adc = Volume(np.zeros((4, 4, 2), np.float32), np.diag([-1.0, 1.0, 1.0, 1.0]))
    by_fold = random_directions(1, 2, 3)
    found = explain(encoder, image, adc, by_fold, 2, device="cpu")
    assert found.coarse == (2, 4, 4) and found.volume.data.shape == (4, 4, 2)
    embedding = encode(encoder, [image], precision="fp32", device="cpu")[0].astype(float)
    coarse = explain(encoder, image, adc, {2: by_fold[2]}, 2, device="cpu")
    np.testing.assert_allclose(coarse.volume.data, found.volume.data, atol=1e-6)
    assert np.isnan(coarse.stability) and -1 <= found.stability < 1
    flat = Direction(np.zeros(2048, np.float32), 0.5)
    assert explain(encoder, image, adc, {7: flat}, 7, device="cpu").volume.data == pytest.approx(0.5)
    from reperfuse.learning.activation import activation_maps

    own = activation_maps(encoder, image, by_fold[2].weight, device="cpu")[0]
    assert own.mean(dtype=float) == pytest.approx(embedding @ by_fold[2].weight.astype(float), rel=1e-4)
    with pytest.raises(KeyError):
        explain(encoder, image, adc, by_fold, 9, device="cpu")


def test_maps_are_written_on_the_patients_own_grid_and_say_what_they_are(shown: dict, tmp_path: Path) -> None:
    stale = tmp_path / "sub-0009_ses-02_desc-saliency_map.nii.gz"
    write_volume(stale, Volume(np.zeros((2, 2, 2), np.float32), AFFINE), {})
    cases = [prediction("sub-0001", 1, 0.9, fold=2), prediction("sub-0002", 0, 0.8, fold=1)]
    rows, faults, stamp = saliency(
        cases,
        {"J1": random_directions(1, 2)},
        shown,
        tmp_path,
        about={"Key": "k"},
        session_ids={"J1": "ses-02"},
        **ENCODER,
    )
    assert not faults and stamp["text"] == "NOT MedicalNet: random weights, seed 1"
    assert sorted(path.name for path in tmp_path.glob("*.nii.gz")) == [row["file"] for row in rows]
    assert [(row["correct"], row["fold"]) for row in rows] == [(True, 2), (False, 1)]
    assert rows[0]["lesion_share"] == pytest.approx(32 / 2400)
    assert rows[1]["lesion_share"] is None and rows[1]["share_outside_brain"] > 0
    path = tmp_path / rows[0]["file"]
    assert path.name == "sub-0001_ses-02_desc-saliency_map.nii.gz" and verify(path)
    told = read_json(tmp_path / "sub-0001_ses-02_desc-saliency_map.json")
    assert told["Weights"] == stamp["text"] and told["Fold"] == 2 and told["Key"] == "k"
    assert TARGET in told["Sign"] and told["SpatialReference"] == "bids::work/sub-0001/J1_adc.nii.gz"
    images = read_present({"map": path, "adc": shown["sub-0001"]["J1"]["adc"]})
    np.testing.assert_allclose(images["map"].affine, images["adc"].affine, atol=1e-5)
    assert images["map"].data.shape == images["adc"].data.shape and images["map"].data.std() > 0
    first = path.read_bytes()
    saliency(
        cases[:1],
        {"J1": random_directions(1, 2)},
        shown,
        tmp_path,
        about={"Key": "k"},
        session_ids={"J1": "ses-02"},
        **ENCODER,
    )
    assert path.read_bytes() == first, "the same run gives the same bytes"
    assert saliency([], {}, shown, tmp_path, about={}, session_ids={}, **ENCODER) == ([], [], {})
    assert not list(tmp_path.glob("*.nii.gz"))
