"""Networks of the study: built, trained once without each inner fold, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.core.errors import ConfigError
from reperfuse.core.settings import fill, load_schema
from reperfuse.evaluation.discrimination import auc
from reperfuse.learning import training as loop
from reperfuse.learning.batches import cut, size_of
from reperfuse.studies.severity import imaged
from reperfuse.studies.severity.architectures import logit_of
from reperfuse.studies.severity.imaged import Imaging, build, effective

SCHEMAS = Path(__file__).resolve().parents[3] / "workflow/schemas"
SHAPE, N = (8, 9, 10), 24
QUICK = {"epochs": 2, "batch": 5, "warmup": 0, "lr": 0.003, "label_smoothing": 0.0}
SMALL = {"widths": [4, 4, 8, 8], "heads": [1, 1, 2, 2], "d_state": 4, "dropout": 0.0, "blocks": 1}
STILL = {
    "rotation_deg": 0,
    "scale": 0,
    "shift_mm": 0,
    "elastic_mm": 0,
    "gamma": 0,
    "noise": 0,
    "bias": 0,
    "dropout": 0,
}


def own(
    network: dict | None = None, augmentation: dict | None = None, channel: str = "trace", **training: Any
) -> dict[str, Any]:
    asked = {
        "channels": [channel], "grid": {"shape": list(SHAPE), "spacing_mm": [8, 8, 8]},
        "network": {**SMALL, **(network or {})}, "training": {**QUICK, **training},
        "augmentation": STILL if augmentation is None else augmentation,
    }  # fmt: skip
    return effective(fill(asked, load_schema(SCHEMAS, "severity")), "")


def cohort(n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Noise with a blob as bright as the stroke is severe; label, score, inner fold."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 20, n)
    images = rng.normal(5, 1, (n, 1, *SHAPE))
    images[:, 0, 2:6, 2:6, 2:6] += 2.0 * np.log1p(grade)[:, None, None, None]
    return images.astype(np.float16), (grade > 4).astype(int), grade, np.arange(n) % 3


def fitted(folder: Path, data: Any = None, name: str = "tractnet", **changed: Any) -> imaged.Imaged:
    images, y, grade, inner = data or cohort()
    options: dict[str, Any] = {"channels": ["trace"], "seed": 1, "device": "cpu", "devices": 1} | changed
    chosen = options.pop("settings", None) or own()
    return imaged.fit(name, chosen, images, y, grade, inner, folder=folder, **options)


def task(n: int = 7, **training: Any) -> Imaging:
    images, y, grade, _ = cohort(n)
    module = build("tractnet", chosen := own(**training), 1, SHAPE)
    return Imaging(
        module, images, np.arange(n), y.astype(np.int64), np.log1p(grade).astype(np.float32), chosen, 3
    )


@pytest.mark.parametrize(
    "name", ["tractnet", "tractnet[any]", "resnet18", "densenet121", "seresnet50", "vit"]
)
@pytest.mark.parametrize("graded", [0, 0.5])
def test_every_network_takes_small_odd_grids_and_any_number_of_channels(name: str, graded: float) -> None:
    module = build(name, own(graded=graded), 2, SHAPE)
    out = module(torch.zeros(2, 2, *SHAPE))
    assert out.shape == (2, 3 if graded else 2) and torch.isfinite(out).all()


def test_an_unknown_network_is_told() -> None:
    with pytest.raises(ConfigError, match="no network 'resnet'; expected tractnet, resnet18"):
        build("resnet", own(), 1, SHAPE)


def test_norms_biases_and_what_a_module_says_are_not_decayed() -> None:
    for name in ("tractnet", "vit"):
        module = build(name, own(), 1, SHAPE)
        images, y, grade, _ = cohort(4)
        one = Imaging(module, images, np.arange(4), y, grade, own(weight_decay=0.3), 1)
        groups = one.optimiser()[0].param_groups
        decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
        by_name = {key: decay[id(value)] for key, value in module.named_parameters()}
        spared = {key for key, value in by_name.items() if value == 0}
        assert {
            key for key in by_name if key.endswith(("A_log", ".D", "bias", "position", "token"))
        } <= spared
        assert all(value.ndim > 1 for key, value in module.named_parameters() if key not in spared)
        assert {by_name[key] for key in by_name if key not in spared} == {0.3} and len(spared) < len(by_name)


def test_the_rate_rises_for_the_warm_up_and_falls_to_the_end() -> None:
    _, schedule = task(warmup=4, epochs=20, lr=0.01).optimiser()
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    assert (np.diff(rates[:5]) > 0).all() and (np.diff(rates[4:]) < 0).all()
    assert max(rates) == pytest.approx(0.01) and 0 < rates[-1] < 0.001 and rates[0] == pytest.approx(0.002)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 40), batch=st.integers(1, 12), epoch=st.integers(0, 3))
def test_every_patient_is_seen_once_and_nobody_alone(n: int, batch: int, epoch: int) -> None:
    images = np.zeros((n + 3, 1, 2, 2, 2), np.float16)
    images += np.arange(n + 3, dtype=np.float16)[:, None, None, None, None]
    rows, grades = np.arange(3, n + 3), np.arange(n + 3, dtype=np.float32)
    one = Imaging(torch.nn.Linear(1, 1), images, rows, np.zeros(n + 3, np.int64), grades, own(batch=batch), 5)
    found = list(one.batches(epoch))
    sizes = [len(grade) for _, _, grade, _ in found]
    assert sorted(torch.cat([grade for _, _, grade, _ in found]).tolist()) == rows.tolist()
    assert max(sizes) - min(sizes) <= 1 and (min(sizes) > 1 or batch == 1) and max(sizes) <= max(batch, 3)
    for shown, _, grade, _ in found:
        assert shown.dtype == torch.float32 and torch.equal(shown[:, 0, 0, 0, 0], grade)


def test_order_and_augmentation_differ_between_epochs() -> None:
    one = task()
    first, second = (torch.cat([grades for _, _, grades, _ in one.batches(epoch)]) for epoch in (0, 1))
    assert not torch.equal(first, second)
    one.settings = own(augmentation={"noise": 0.5})
    torch.manual_seed(0)
    a, b = next(iter(one.batches(0)))[0], next(iter(one.batches(0)))[0]
    assert not torch.equal(a, b)


class Says(torch.nn.Module):
    """Gives the outputs that it is given."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outputs[: len(x)]


def loss(outputs: torch.Tensor, y: np.ndarray, grades: np.ndarray, **training: Any) -> float:
    labels, images = y.astype(np.int64), np.zeros((len(y), 1, 1, 1, 1), np.float16)
    one = Imaging(Says(outputs), images, np.arange(len(y)), labels, grades, own(**training), 1)
    batch = torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(grades), torch.zeros(len(y))
    return float(one.loss(one.module, batch))


def test_the_loss_is_what_it_says() -> None:
    rng = np.random.default_rng(0)
    outputs, y = torch.from_numpy(rng.normal(size=(8, 3))), np.array([0, 1, 1, 1, 1, 0, 1, 1])
    grades = rng.normal(size=8).astype(np.float32)
    p = torch.softmax(outputs[:, :2], 1).numpy()[np.arange(8), y]
    weight = np.where(y == 1, 8 / 12, 8 / 4)
    assert loss(outputs, y, grades, class_weights=False) == pytest.approx(-np.log(p).mean(), rel=1e-5)
    assert loss(outputs, y, grades) == pytest.approx((-weight * np.log(p)).mean(), rel=1e-5)
    focal = loss(outputs, y, grades, loss="focal", focal_gamma=2.0)
    assert focal == pytest.approx((-weight * (1 - p) ** 2 * np.log(p)).mean(), rel=1e-5)
    squared = ((outputs[:, 2].numpy() - grades) ** 2).mean()
    assert loss(outputs, y, grades, graded=1.0) == pytest.approx(squared, rel=1e-5)
    assert loss(outputs, 1 - y, grades, graded=1.0) == pytest.approx(squared, rel=1e-5)
    both = 0.7 * (-weight * np.log(p)).mean() + 0.3 * squared
    assert loss(outputs, y, grades, graded=0.3) == pytest.approx(both, rel=1e-5)
    smooth = loss(outputs, y, grades, class_weights=False, label_smoothing=0.2)
    other = 1 - p
    assert smooth == pytest.approx(-(0.9 * np.log(p) + 0.1 * np.log(other)).mean(), rel=1e-5)


def test_the_loss_of_a_divided_batch_is_the_mean_of_its_parts() -> None:
    one = task(graded=0.4)
    one.module.eval()
    batch = next(iter(one.batches(0)))
    whole = one.loss(one.module, batch)
    parts = [one.loss(one.module, cut(batch, slice(i, i + 1))) for i in range(size_of(batch))]
    assert whole.item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-4)


@pytest.mark.parametrize("graded", [0.0, 0.5, 1.0])
def test_a_bright_blob_is_learnt_and_patients_are_judged_by_who_has_not_seen_them(
    graded: float, tmp_path: Path
) -> None:
    found = fitted(tmp_path, cohort(60), settings=own(epochs=8, graded=graded))
    _, y, _, _ = cohort(60)
    assert len(found.modules) == len(found.history) == 3 and found.oof.shape == (60,)
    assert auc(y, found.oof) > 0.85
    images, other, _, _ = cohort(40, seed=9)
    assert auc(other, found.predict(images)) > 0.85
    assert all(one[-1] < one[0] for one in found.history)
    assert found.n_parameters == sum(one.numel() for one in found.modules[0].parameters())


def test_what_is_known_of_a_held_out_fold_changes_nothing_that_is_said_of_it(tmp_path: Path) -> None:
    images, y, grade, inner = cohort()
    held = inner == 1
    changed = grade.copy()
    changed[held] = grade[held][::-1] + 1
    one = fitted(tmp_path / "a", (images, y, grade, inner), settings=own(graded=0.5))
    two = fitted(
        tmp_path / "b", (images, (changed > 4).astype(int), changed, inner), settings=own(graded=0.5)
    )
    np.testing.assert_array_equal(one.oof[held], two.oof[held])
    assert not np.array_equal(one.oof[~held], two.oof[~held])


def test_the_same_fit_gives_the_same_bits_and_nothing_depends_on_company(tmp_path: Path) -> None:
    one, two = (fitted(tmp_path / name, settings=own(augmentation={})) for name in "ab")
    np.testing.assert_array_equal(one.oof, two.oof)
    assert one.history == two.history
    images = cohort()[0]
    together = one.predict(images)
    np.testing.assert_array_equal(together[[5]], one.predict(images[[5]]))
    np.testing.assert_array_equal(together, two.predict(images))
    assert not np.array_equal(fitted(tmp_path / "c", seed=2).oof, one.oof)


def test_a_fit_is_resumed_and_one_on_other_data_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fitted(tmp_path)
    steps: list[int] = []
    real = loop.Stepper.step
    monkeypatch.setattr(
        loop.Stepper, "step", lambda self, batch, progress: (steps.append(1), real(self, batch, progress))[1]
    )
    again = fitted(tmp_path)
    np.testing.assert_array_equal(first.oof, again.oof)
    assert not steps and first.history == again.history
    images, y, grade, inner = cohort()
    images = images.copy()
    images[0, 0, 0, 0, 0] += 1  # seen by the members without fold 1 and without fold 2
    fitted(tmp_path, (images, y, grade, inner))
    assert len(steps) == 2 * 2 * 4  # members, epochs, batches of 16 patients by 5


def test_where_the_score_alone_is_learnt_the_cut_is_kept_with_the_weights(tmp_path: Path) -> None:
    chosen = own(graded=1.0)
    found = fitted(tmp_path, settings=chosen)
    module = found.modules[0]
    assert "cut" in module.state_dict() and imaged.class_index(chosen) == 2
    again = build("tractnet", chosen, 1, SHAPE)
    again.load_state_dict(module.state_dict())
    outputs = torch.tensor([[0.0, 9.0, float(module.get_buffer("cut"))], [9.0, 0.0, 5.0]])
    said = logit_of(outputs, again)
    assert said[0] == 0 and said[1] > 1
    plain = build("tractnet", own(), 1, SHAPE)
    assert "cut" not in plain.state_dict() and imaged.class_index(own()) == 1
    assert torch.equal(logit_of(outputs, plain), torch.tensor([9.0, -9.0]))


def test_the_cut_lies_between_the_classes_in_units_of_the_member() -> None:
    grade = np.array([0, 1, 4, 5, 9, 30])
    scores, labels = np.log1p(grade.astype(float)), (grade > 4).astype(int)
    rows = np.array([0, 1, 2, 3, 4])
    standard, cut = imaged._standardised(scores, labels, rows)
    assert standard[rows].mean() == pytest.approx(0, abs=1e-6)
    assert standard[rows].std() == pytest.approx(1, abs=1e-6)
    assert standard[2] < cut < standard[3]
    same, _ = imaged._standardised(np.ones(6), labels, rows)
    assert not same.any()


def test_a_network_is_shown_its_own_channels_alone(tmp_path: Path) -> None:
    images, y, grade, inner = cohort()
    both = np.concatenate([np.random.default_rng(1).random(images.shape).astype(np.float16), images], axis=1)
    one = fitted(tmp_path / "a", (images, y, grade, inner))
    two = fitted(tmp_path / "b", (both, y, grade, inner), channels=["adc", "trace"])
    np.testing.assert_array_equal(one.oof, two.oof)
    np.testing.assert_array_equal(one.predict(images), two.predict(both))


def test_one_inner_fold_is_an_error(tmp_path: Path) -> None:
    images, y, grade, _ = cohort(6)
    with pytest.raises(ValueError, match="expected at least two"):
        fitted(tmp_path, (images, y, grade, np.zeros(6, int)))


def masks(n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cubes that are as large as the stroke is severe, anywhere."""
    rng = np.random.default_rng(2)
    edge = rng.integers(0, 6, n)
    images = np.zeros((n, 1, *SHAPE), np.float16)
    for image, size in zip(images, edge, strict=True):
        s, r, c = (rng.integers(0, one - size + 1) for one in SHAPE)
        image[0, s : s + size, r : r + size, c : c + size] = 1
    grade = np.clip(3 * edge + rng.integers(-2, 3, n), 0, 42)
    return images, (grade > 6).astype(int), grade, np.arange(n) % 3


@pytest.mark.parametrize("graded", [0.0, 0.5, 1.0])
def test_a_network_that_adds_to_the_volume_begins_with_what_the_volume_says(
    graded: float, tmp_path: Path
) -> None:
    images, y, _, inner = masks()
    chosen = own(channel="lesion", epochs=1, lr=1e-9, graded=graded, volume=True)
    found = fitted(tmp_path, masks(), settings=chosen, channels=["lesion"])
    volumes = np.log1p(images.astype(float).sum(axis=(1, 2, 3, 4)) * 0.512)
    for fold, module in enumerate(found.modules):
        held = inner == fold
        assert np.corrcoef(found.oof[held], volumes[held])[0, 1] > 0.9999
        below, above = (volumes[~held & (y == one)].mean() for one in (0, 1))
        assert below < np.interp(0, np.sort(found.oof[held]), np.sort(volumes[held])) < above
        again = build("tractnet", chosen, 1, SHAPE)
        again.load_state_dict(module.state_dict())
        assert torch.equal(again.get_buffer("by_volume"), module.get_buffer("by_volume"))
    learnt = fitted(
        tmp_path, masks(), settings=own(channel="lesion", epochs=3, graded=graded, volume=True),
        channels=["lesion"],
    )  # fmt: skip
    assert not np.allclose(learnt.oof, found.oof, atol=1e-3)


def test_mixed_samples_are_shares_of_two_and_the_loss_takes_them() -> None:
    one = task(8, mixup=0.4)
    one.images = np.broadcast_to(one.labels[:, None, None, None, None], (8, 1, 2, 2, 2)).astype(np.float16)
    one.settings["training"]["batch"] = 8
    torch.manual_seed(0)
    images, labels, grades, _ = next(iter(one.batches(0)))
    torch.testing.assert_close(images.mean(dim=(1, 2, 3, 4)), labels, atol=1e-3, rtol=0)
    assert ((labels > 0) & (labels < 1)).any() and grades.min() >= one.grades.min()
    rng = np.random.default_rng(0)
    outputs, share = torch.from_numpy(rng.normal(size=(4, 2))), np.array([0.0, 0.25, 0.75, 1.0])
    logp = torch.log_softmax(outputs, 1).numpy()
    expected = -((1 - share) * logp[:, 0] + share * logp[:, 1]).mean()
    settings_ = own(class_weights=False)
    it = Imaging(
        Says(outputs), np.zeros((4, 1, 1, 1, 1)), np.arange(4), share.astype(int), share, settings_, 1
    )
    batch = (torch.zeros(4, 1, 1, 1, 1), torch.from_numpy(share), torch.zeros(4), torch.zeros(4))
    assert it.loss(it.module, batch).item() == pytest.approx(expected, rel=1e-6)
