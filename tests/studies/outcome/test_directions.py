"""Directions of the embedding: what they add up to, and for whom they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reperfuse.core.files import write_marker
from reperfuse.studies.outcome.blocks import Block, Reduction
from reperfuse.studies.outcome.directions import direction, directions, read_directions, write_directions
from reperfuse.studies.outcome.model import Workshop
from reperfuse.studies.outcome.recipe import Recipe
from reperfuse.studies.outcome.systems import RecipeSystem

N, P = 24, 40
IDS = tuple(f"sub-{i:02d}" for i in range(N))
BASE = Recipe(
    ("J1:clinical", "J1:mri"), "J1", "svm", "linear", 0.1, Reduction("pca", 5, 1.0), "pca_on_embeddings", 3
)


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    random = np.random.default_rng(0)
    image = random.gamma(2.0, 1.0, (N, P)).astype(np.float32).astype(float)
    image[:, 3] = 1.0  # a feature that says nothing
    clinical = random.normal(60, 10, (N, 2))
    clinical[2, 1] = np.nan
    blocks = {
        "J1:mri": Block("J1:mri", tuple(f"f{i}" for i in range(P)), image, components=True),
        "J1:clinical": Block("J1:clinical", ("age", "nihss"), clinical),
    }
    return Workshop(IDS, np.array(IDS), blocks)


@pytest.fixture(scope="module")
def labels(workshop: Workshop) -> np.ndarray:
    return (workshop.blocks["J1:mri"].values[:, 0] > 2).astype(int)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"order": "concat_then_pca"},
        {"method": "none"},
        {"method": "pls", "components": 2},
        {"classifier": "logistic"},
        {"blocks": ("J1:mri",)},
    ],
    ids=lambda changed: ",".join(changed) or "as published",
)
def test_a_direction_gives_the_images_part_of_every_decision(
    workshop: Workshop, labels: np.ndarray, changed: dict
) -> None:
    rows = np.arange(N)
    model = workshop.fit(BASE.with_(**changed), rows, labels, seed=1)
    found = direction(model, "J1:mri")
    assert found is not None and found.weight.dtype == np.float32 and found.weight[3] == 0
    values = {name: block.values for name, block in workshop.blocks.items()}
    # What is left of a decision without the image's part depends on the other predictors alone.
    rest = model.decision(values) - (values["J1:mri"] @ found.weight + found.offset)
    other = {**values, "J1:mri": values["J1:mri"][::-1]}
    assert model.decision(other) - (other["J1:mri"] @ found.weight + found.offset) == pytest.approx(
        rest, abs=1e-5
    )
    assert np.ptp(values["J1:mri"] @ found.weight) > 0.05
    # The mean of those it was fitted on adds nothing.
    assert values["J1:mri"].mean(axis=0) @ found.weight + found.offset == pytest.approx(0, abs=1e-5)


def test_a_rule_that_is_not_linear_has_none(workshop: Workshop, labels: np.ndarray) -> None:
    model = workshop.fit(BASE.with_(kernel="rbf"), np.arange(N), labels, seed=1)
    assert direction(model, "J1:mri") is None
    with pytest.raises(KeyError):
        direction(workshop.fit(BASE, np.arange(N), labels, seed=1), "J0:mri")


def test_a_models_fold_is_the_one_that_it_saw_nobody_of(
    workshop: Workshop, labels: np.ndarray, tmp_path: Path
) -> None:
    folds = {one: 1 + i % 3 for i, one in enumerate(IDS)}
    system = RecipeSystem(workshop, BASE)
    models = []
    for fold in (3, 1):  # one is missing, and the order says nothing
        train = [one for one in IDS if folds[one] != fold]
        models.append(system.fit(train, labels[[IDS.index(one) for one in train]], seed=1))
    found = directions(models, folds)
    assert {visit: sorted(by_fold) for visit, by_fold in found.items()} == {"J1": [1, 3]}
    own = direction(models[0].fitted, "J1:mri")
    assert own is not None
    np.testing.assert_array_equal(found["J1"][3].weight, own.weight)
    with pytest.raises(ValueError, match="unpack"):  # it saw somebody of every fold
        directions([system.fit(IDS, labels, seed=1)], folds)
    path = tmp_path / "directions.safetensors"
    write_directions(path, "J1_mri+clinical", found)
    name, again = read_directions(path)
    assert name == "J1_mri+clinical" and again["J1"].keys() == found["J1"].keys()
    np.testing.assert_array_equal(again["J1"][1].weight, found["J1"][1].weight)
    assert again["J1"][1].offset == found["J1"][1].offset


def test_without_any_there_is_nothing_to_read(tmp_path: Path) -> None:
    write_directions(tmp_path / "none", "J1_clinical", {})
    write_marker(tmp_path / "marker")
    assert read_directions(tmp_path / "none") == read_directions(tmp_path / "marker") == ("", {})
