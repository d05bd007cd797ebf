"""Maps of where the first network looked: in the right place, of the right fold, and measured against chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reperfuse.core.errors import Refusal
from reperfuse.core.files import read_json
from reperfuse.evaluation.interface import Prediction
from reperfuse.imaging.network_grid import Grid
from reperfuse.imaging.reader import read_made
from reperfuse.imaging.template import mni152
from reperfuse.imaging.volume import Volume, verify, write_volume
from reperfuse.networks.tractnet import TractNet, TractNetSettings
from reperfuse.studies.explained import END
from reperfuse.studies.severity import map_measures as measures
from reperfuse.studies.severity import places, saliency

TARGET = "nihss>4"
AFFINE = np.array([[-2.0, 0, 0, 60], [0, 2, 0, -60], [0, 0, 4, -30], [0, 0, 0, 1.0]])
SHAPE = (16, 32, 32)
SECTION: dict[str, Any] = {
    "networks": ["tractnet"],
    "channels": ["trace"],
    "space": "native",
    "grid": {"shape": list(SHAPE), "spacing_mm": [5, 4, 4]},
    "salt": "s",
    "training": {"graded": 0},
    "saliency": {"patients": 3, "shown": 2, "layer": "bottleneck", "dilate_mm": 5, "randomised": 1},
    "statistics": {"bootstrap": 50, "level": 0.95},
}


class Pointer(nn.Module):
    """Every second voxel twice, and a head that wants much of it: its map is the input itself, coarser."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bottleneck = (nn.Conv3d(1, 1, 3, 2, 1, bias=False) for _ in range(2))
        self.head = nn.Linear(1, 2)
        for one in (self.stem, self.bottleneck):
            one.weight.data.zero_()
            one.weight.data[0, 0, 1, 1, 1] = 1.0
        self.head.weight.data = torch.tensor([[-1.0], [1.0]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.bottleneck(self.stem(x)).mean((2, 3, 4)))


def prediction(who: str, y: int, score: float, fold: int = 1, **changed: Any) -> Prediction:
    about = {
        "session_id": "ses-01",
        "target": TARGET,
        "configuration": "tractnet",
        "split": "cv",
        "repeat": 1,
    }
    return Prediction(
        **{"participant_id": who, "y_true": y, "y_score": score, "fold": fold, **about, **changed}
    )


def images() -> dict[str, Volume]:
    brain = np.zeros((60, 60, 16), np.float32)
    brain[4:56, 6:54, 1:15] = 1
    lesion = np.zeros_like(brain)
    lesion[12:20, 30:38, 5:9] = 1
    return {
        name: Volume(one, AFFINE)
        for name, one in (("trace", 100 * brain), ("brain", brain), ("lesion", lesion))
    }


@pytest.fixture
def shown(tmp_path: Path) -> dict[str, dict[str, dict[str, Path]]]:
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for who in ("sub-a", "sub-b", "sub-c"):
        for name, one in images().items():
            path = tmp_path / "work" / who / f"J0_{name}.nii.gz"
            write_volume(path, one)
            found.setdefault(who, {}).setdefault("J0", {})[name] = path
    return found


def place_of(shown: dict) -> Any:
    return places.native(shown, {}, Grid.of(SECTION["grid"]))


def at_lesion(place: places.Place) -> tuple[int, int, int]:
    """Return the voxel of the input, of those that the pointer sees, that is nearest to the middle of the lesion."""
    assert place.lesion is not None
    middle = np.append(np.argwhere(place.lesion.data > 0).mean(axis=0), 1.0)
    s, a, left = (4 * np.round((np.linalg.inv(place.matrix) @ middle)[:3] / 4)).astype(int)
    return int(s), int(a), int(left)


def test_the_strongest_place_of_a_map_is_where_it_was_in_the_image(shown: dict) -> None:
    place = place_of(shown)("sub-a")
    spot = at_lesion(place)
    image = np.zeros((1, *SHAPE), np.float16)
    image[(0, *spot)] = 5
    coarse, agreement = saliency.explain(
        [Pointer(), Pointer()], image, "bottleneck", class_index=1, device="cpu"
    )
    assert coarse.shape == (4, 8, 8) and coarse.sum() == pytest.approx(1) and agreement == pytest.approx(1)
    found = saliency.drawn(coarse, place, SHAPE, least=0)
    assert found.data.shape == place.image.data.shape and found.data.dtype == np.float32
    strongest = np.unravel_index(int(found.data.argmax()), found.data.shape)
    expected = (place.matrix @ [*spot, 1.0])[:3]
    assert np.abs(strongest - expected).max() <= 1.0
    hit = measures.pointing(found, place.brain, place.lesion, dilate_mm=0)
    assert hit["pointing_hit"] == 1 and 0 < hit["pointing_chance"] < 0.02


def test_a_network_that_fills_up_its_input_is_allowed_for(shown: dict) -> None:
    place = place_of(shown)("sub-a")
    spot = at_lesion(place)
    image = np.zeros((1, *SHAPE), np.float16)
    image[(0, *spot)] = 5
    filled = np.pad(image, ((0, 0), (8, 8), (0, 0), (0, 0)))
    coarse, _ = saliency.explain([Pointer()], filled, "bottleneck", class_index=1, device="cpu")
    found = saliency.drawn(coarse, place, SHAPE, least=32)
    plain, _ = saliency.explain([Pointer()], image, "bottleneck", class_index=1, device="cpu")
    other = saliency.drawn(plain, place, SHAPE, least=0)
    assert (
        np.abs(
            np.subtract(*(np.argwhere(one.data == one.data.max()).mean(0) for one in (found, other)))
        ).max()
        < 1
    )


def test_networks_count_the_same_and_one_without_contrast_says_nothing() -> None:
    loud, quiet, silent = Pointer(), Pointer(), Pointer()
    loud.head.weight.data *= 100
    silent.head.weight.data *= -1
    image = np.zeros((1, *SHAPE), np.float16)
    image[0, 8, 8, 8], image[0, 4, 8, 8] = 3, 1
    alone, one = saliency.explain([quiet], image, "bottleneck", class_index=1, device="cpu")
    many, _ = saliency.explain([loud, quiet, silent], image, "bottleneck", class_index=1, device="cpu")
    np.testing.assert_allclose(many, alone, atol=1e-7)
    assert np.isnan(one)
    nothing, _ = saliency.explain([silent], image, "bottleneck", class_index=1, device="cpu")
    assert not nothing.any()


@settings(max_examples=40, deadline=None)
@given(n=st.integers(9, 200), halvings=st.integers(0, 3))
def test_strides_follow_from_sizes(n: int, halvings: int) -> None:
    size = n
    for _ in range(halvings):
        size = -(-size // 2)
    (found,) = saliency.strides([n], [size])
    assert found == 2.0**halvings or (size == 1 and found <= 2.0**halvings)


def test_pointing_and_energy_are_held_against_chance() -> None:
    data = np.zeros((10, 10, 4), np.float32)
    brain, lesion, found = (Volume(data.copy(), np.diag([2.0, 2.0, 2.0, 1.0])) for _ in range(3))
    brain.data[:, :8], lesion.data[2, 2, 1] = 1, 1
    found.data[:, :8] = 1.0
    found.data[4, 2, 1] = 2.0  # 4 mm away
    assert measures.pointing(found, brain, lesion, dilate_mm=3.9)["pointing_hit"] == 0
    near = measures.pointing(found, brain, lesion, dilate_mm=4)
    assert near["pointing_hit"] == 1
    reach = sum(
        (i - 2) ** 2 + (j - 2) ** 2 + (k - 1) ** 2 <= 4 for i in range(10) for j in range(8) for k in range(4)
    )
    assert near["pointing_chance"] == pytest.approx(reach / 320)
    place = places.Place(brain, brain, lesion, np.eye(4), "x", False)
    row = measures.measured(found, place, SECTION)
    assert row["energy"] == pytest.approx(1 / 321) and row["energy_chance"] == pytest.approx(1 / 320)
    found.data[0, 9, 0] = 9.0
    assert measures.pointing(found, brain, lesion, dilate_mm=100)["pointing_hit"] == 0, "outside the brain"
    flat = found.like(np.ones_like(found.data))
    for nothing in ((flat, lesion), (found, None), (found, lesion.like(np.zeros_like(data)))):
        assert set(measures.pointing(nothing[0], brain, nothing[1], dilate_mm=5).values()) == {None}


def test_where_the_mask_was_shown_nothing_is_measured_in_it() -> None:
    data = np.ones((4, 4, 4), np.float32)
    data[0] = 2
    one = Volume(data, np.eye(4))
    place = places.Place(one, one, one, np.eye(4), "x", False)
    row = measures.measured(one, place, {**SECTION, "channels": ["trace", "lesion"]})
    assert row["pointing_hit"] is None and row["energy"] is None and row["share_outside_brain"] == 0
    rows = [
        {**row, "participant_id": f"sub-{i}", "configuration": "tractnet", "stability": 0.1 * i}
        for i in range(5)
    ]
    found = {r["measure"]: r for r in measures.summary(rows, {**SECTION, "channels": ["lesion"]})}
    assert found["energy"]["n"] == 0 and found["energy"]["note"] == measures.CIRCULAR
    assert found["stability"]["mean"] == pytest.approx(0.2)


def test_intervals_are_of_patients_and_of_the_comparison() -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "participant_id": f"sub-{i}",
            "configuration": "tractnet",
            "pointing_hit": int(random.random() < 0.8),
        }
        | {
            "pointing_chance": 0.3,
            "energy": 0.2 + 0.1 * random.random(),
            "energy_chance": 0.05,
            "stability": None,
        }
        | {"share_outside_brain": 0.1}
        for i in range(60)
    ]
    found = {
        r["measure"]: r
        for r in measures.summary(rows, {**SECTION, "statistics": {"bootstrap": 400, "level": 0.95}})
    }
    hit, energy = found["pointing_hit"], found["energy"]
    assert hit["value"] == pytest.approx(np.mean([r["pointing_hit"] for r in rows]) - 0.3)
    half = 1.96 * np.sqrt(hit["mean"] * (1 - hit["mean"]) / 60)
    assert hit["ci_high"] - hit["ci_low"] == pytest.approx(2 * half, rel=0.3)
    assert energy["compared"] == "ratio" and energy["ci_low"] < energy["value"] == pytest.approx(
        energy["mean"] / 0.05
    )
    assert found["stability"]["n"] == 0 and "mean" not in found["stability"]


def test_a_map_of_what_was_learnt_does_not_outlive_its_layers() -> None:
    torch.manual_seed(3)
    image = np.random.default_rng(3).standard_normal((1, *SHAPE)).astype(np.float16)
    net = tractnet()
    own = {name: value.clone() for name, value in net.state_dict().items()}
    look = {"class_index": 1, "device": "cpu"}
    rows = measures.cascade(net, image, "bottleneck", **look, seed=1)
    assert [row["layer"] for row in rows] == ["head", "bottleneck", "s4", "s3", "s2", "s1", "stem"]
    assert all(-1 <= row["correlation"] <= 1 for row in rows) and abs(rows[-1]["correlation"]) < 0.9
    assert rows == measures.cascade(net, image, "bottleneck", **look, seed=1)
    assert all(torch.equal(own[name], value) for name, value in net.state_dict().items())
    assert measures.cascade(Pointer(), np.zeros((1, *SHAPE), np.float16), "bottleneck", **look, seed=1) == []


def tractnet(**changed: Any) -> TractNet:
    settings: dict[str, Any] = {
        "in_channels": 1, "n_classes": 2, "widths": (8, 8, 16, 16), "heads": (1, 1, 2, 2), "reductions": (8, 4, 2, 1),
        "stem_kernel": (3, 3, 3), "stem_stride": (1, 2, 2), "topology": "residual_skip", "mixture": "softmax",
        "coordinate": True, "attention": True, "place": "skip", "coordinate_reduction": 8, "bottleneck": "mamba",
        "blocks": 1, "d_state": 4, "d_conv": 4, "expand": 2,
        "scan": "forward", "dropout": 0.3,
    }  # fmt: skip
    return TractNet(TractNetSettings(**(settings | changed)))


@pytest.mark.parametrize("layer", ["s4", "bottleneck"])
@pytest.mark.parametrize(
    "changed", [{}, {"bottleneck": "none"}, {"topology": "unet_skip", "scan": "tri-orientated"}]
)
def test_every_shape_of_the_network_has_maps(layer: str, changed: dict[str, Any]) -> None:
    torch.manual_seed(1)
    image = np.random.default_rng(1).standard_normal((1, *SHAPE)).astype(np.float16)
    nets = [tractnet(**changed).train() for _ in range(2)]
    found, agreement = saliency.explain(nets, image, layer, class_index=1, device="cpu")
    assert found.shape == (2, 2, 2) and np.isfinite(found).all() and found.min() >= 0
    assert -1 <= agreement <= 1
    assert saliency.strides(SHAPE, found.shape) == [8.0, 16.0, 16.0]
    assert all(one.grad is None for net in nets for one in net.parameters())


def test_patients_are_drawn_without_looking_at_them() -> None:
    mine = [prediction(f"sub-{i}", i % 2, 0.5) for i in range(9)]
    others = [prediction("sub-x", 1, 0.9, configuration="log_volume"), prediction("sub-y", 1, 0.9, repeat=2)]
    first = saliency.sampled([*mine, *others], SECTION, TARGET)
    turned = [prediction(one.participant_id, 1 - (one.y_true or 0), 0.99) for one in reversed(mine)]
    again = saliency.sampled(turned, SECTION, TARGET)
    assert [one.participant_id for one in first] == [one.participant_id for one in again] and len(first) == 3
    assert saliency.sampled(mine, {**SECTION, "salt": "t"}, TARGET) != first


def test_maps_are_made_by_the_networks_that_never_saw_the_patient(shown: dict, tmp_path: Path) -> None:
    stale = tmp_path / "maps" / f"sub-z_ses-01{END}"
    write_volume(stale, Volume(np.zeros((2, 2, 2), np.float32), AFFINE), {})
    cases = [prediction("sub-a", 1, 0.9, 1), prediction("sub-b", 0, 0.7, 2), prediction("sub-c", 1, 0.6, 2)]
    image = np.zeros((1, *SHAPE), np.float16)
    image[(0, *at_lesion(place_of(shown)("sub-a")))] = 5
    asked = []

    def networks(fold: int) -> list[nn.Module]:
        asked.append(fold)
        return [Pointer(), Pointer()]

    del shown["sub-c"]["J0"]["brain"]
    found = saliency.saliency(
        cases, SECTION, TARGET, networks=networks, images=dict.fromkeys(shown, image), place_of=place_of(shown),
        folder=tmp_path / "maps", about={"Key": "k"}, device="cpu",
    )  # fmt: skip
    assert asked == [1, 2, 2]
    assert [fault.code for fault in found.faults] == ["E137"] and not stale.exists()
    first, second = found.rows
    assert (first["participant_id"], first["fold"], first["correct"], first["shown"]) == ("sub-a", 1, True, 1)
    assert (second["participant_id"], second["fold"], second["correct"]) == ("sub-b", 2, False)
    assert first["pointing_hit"] == 1 and first["energy"] > 5 * first["energy_chance"]
    assert first["stability"] == pytest.approx(1) and set(saliency.COLUMNS) <= {*first}
    path = tmp_path / "maps" / first["file"]
    told = read_json(path.with_name(path.name.replace(".nii.gz", ".json")))
    assert verify(path) and told["Key"] == "k" and told["Fold"] == 1 and told["Layer"] == "bottleneck"
    assert told["SpatialReference"] == "bids::work/sub-a/J0_trace.nii.gz"
    assert read_made(path).data.shape == (60, 60, 16)
    assert {row["participant_id"] for row in found.randomised} == {"sub-a"}
    assert {row["measure"] for row in found.summary} >= {"pointing_hit", "energy"}


def test_a_transformer_alone_has_no_maps(tmp_path: Path) -> None:
    found = saliency.saliency(
        [prediction("sub-a", 1, 0.9)], {**SECTION, "networks": ["vit", "tractnet"]}, TARGET,
        networks=lambda fold: [], images={}, place_of=lambda who: pytest.fail("not asked"),
        folder=tmp_path, about={}, device="cpu",
    )  # fmt: skip
    assert not found.rows and not found.summary


def test_in_the_template_the_lesion_is_carried_and_kept_beside_the_map(shown: dict, tmp_path: Path) -> None:
    def to_template(mask: Volume, visit: str) -> Volume:
        assert visit == "J0"
        return mask

    section = {**SECTION, "space": "template", "channels": ["lesion"]}
    image, brain = mni152(resolution_mm=2)
    grid = Grid.of(section["grid"])
    place = places.template(shown, {}, {"sub-a": to_template}, grid, image=image, brain=brain)
    mine = place("sub-a")
    assert mine.in_template and mine.lesion is not None
    ml = images()["lesion"].data.sum() * 0.016
    assert (mine.lesion.data > 0).sum() * 0.008 == pytest.approx(ml, rel=0.15)
    middle = mine.matrix @ [*(np.array(SHAPE) - 1) / 2, 1.0]
    assert (mine.image.affine @ middle)[:3] == pytest.approx([0, -24, 12]), "the middle of the template's box"
    assert place("sub-b").lesion is None, "there is no way to the template"
    image = np.zeros((1, *SHAPE), np.float16)
    image[0, 8, 16, 16] = 1
    found = saliency.saliency(
        [prediction("sub-a", 1, 0.9)], section, TARGET, networks=lambda fold: [Pointer()], images={"sub-a": image},
        place_of=place, folder=tmp_path / "maps", about={}, device="cpu",
    )  # fmt: skip
    assert found.rows[0]["energy"] is None and found.rows[0]["stability"] is None
    names = {path.name for path in (tmp_path / "maps").glob("*.nii.gz")}
    assert names == {found.rows[0]["file"], "sub-a_ses-01_desc-saliency_lesion.nii.gz"} | {
        "template_image.nii.gz",
        "template_brain.nii.gz",
    }


def test_a_place_without_images_is_refused() -> None:
    with pytest.raises(Refusal, match="E137"):
        place_of({})("sub-a")
