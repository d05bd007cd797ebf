"""A frozen model predicts what the fitted one predicted, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.bundle import read_bundle, write_bundle
from reperfuse.studies.outcome.blocks import Block
from reperfuse.studies.outcome.frozen import (
    aligned,
    folder_name,
    from_arrays,
    read_models,
    shareable,
    to_arrays,
    write_models,
)
from reperfuse.studies.outcome.model import FittedRecipe, Workshop
from tests.studies.outcome.cohorts import arrays_of, clinical, embedding, recipe, workshop

BOTH = ("J0:mri", "J0:clinical")
WAYS: tuple[dict, ...] = (
    {},
    {"kernel": "rbf"},
    {"order": "concat_then_pca"},
    {"order": "concat_then_pca", "kernel": "rbf"},
    {"method": "pls"},
    {"method": "none"},
    {"classifier": "logistic"},
)


@pytest.fixture(scope="module")
def shop() -> Workshop:
    return workshop(embedding(40, 20, 1), clinical(40, 6, 2, missing=0.1))


def fit(shop: Workshop, **changed: object) -> FittedRecipe:
    return shop.fit(recipe(*BOTH, **changed), np.arange(32), np.arange(32) % 2, seed=1)


@pytest.mark.parametrize("changed", WAYS)
def test_a_frozen_model_is_the_fitted_one_to_the_last_bit(
    shop: Workshop, tmp_path: Path, changed: dict
) -> None:
    model = fit(shop, **changed)
    arrays, card = to_arrays(model)
    write_bundle(tmp_path / "m", arrays, card)
    back = from_arrays(*read_bundle(tmp_path / "m"))
    for a, b in zip(arrays_of(model), arrays_of(back), strict=True):
        np.testing.assert_array_equal(a, b)
    rows = np.arange(40)
    np.testing.assert_array_equal(shop.probability(model, rows), shop.probability(back, rows))
    assert back.features == model.features and back.seen == frozenset()


def test_a_model_without_components_can_be_frozen(tmp_path: Path) -> None:
    still = workshop(Block("J0:mri", ("0", "1"), np.ones((20, 2)), components=True))
    model = still.fit(recipe("J0:mri"), np.arange(20), np.arange(20) % 2, seed=1)
    write_bundle(tmp_path / "m", *to_arrays(model))
    back = from_arrays(*read_bundle(tmp_path / "m"))
    np.testing.assert_array_equal(
        still.probability(back, np.arange(20)), still.probability(model, np.arange(20))
    )


def test_models_lie_beside_their_index_under_names_that_shells_do_not_mind(
    shop: Workshop, tmp_path: Path
) -> None:
    models = {"J1-J0_mri+clinical": fit(shop), "age+nihss": fit(shop, classifier="logistic")}
    index = tmp_path / "models/index.json"
    write_models(index, models, {"use": "Research use only."}, {name: {} for name in models})
    assert sorted(path.name for path in index.parent.iterdir()) == [
        "J1-J0_mri-clinical", "age-nihss", "index.json",
    ]  # fmt: skip
    found = read_models(index)
    assert list(found) == list(models)
    model, card = found["J1-J0_mri+clinical"]
    assert card["configuration"] == "J1-J0_mri+clinical" and card["use"] == "Research use only."
    np.testing.assert_array_equal(model.rule.weight, models["J1-J0_mri+clinical"].rule.weight)
    names = [folder_name(one) for one in ("J0+J1_mri", "J0-J1_mri<=2", "J1_mri")]
    assert not any(set("+<>= ") & set(name) for name in names)
    before = {path: path.read_bytes() for path in index.parent.rglob("*") if path.is_file()}
    write_models(index, models, {"use": "Research use only."}, {name: {} for name in models})
    assert before == {path: path.read_bytes() for path in index.parent.rglob("*") if path.is_file()}


def test_a_model_that_holds_features_of_single_patients_is_not_frozen(shop: Workshop, tmp_path: Path) -> None:
    models = {"J0_mri": fit(shop), "J0_clinical": fit(shop, kernel="rbf")}
    kept, apart = shareable(models)
    assert (
        list(kept) == ["J0_mri"]
        and list(apart) == ["J0_clinical"]
        and "single patients" in apart["J0_clinical"]
    )
    with pytest.raises(ValueError, match="J0_clinical"):
        write_models(tmp_path / "models/index.json", models, {}, {name: {} for name in models})
    assert not (tmp_path / "models").exists()


def test_atlases_stand_on_cards_of_models_that_read_regions(shop: Workshop, tmp_path: Path) -> None:
    regions = workshop(
        Block("J0:territories", ("log1p a 1 (ml)",), np.random.default_rng(1).gamma(2, size=(20, 1)))
    )
    other = regions.fit(recipe("J0:territories"), np.arange(20), np.arange(20) % 2, seed=1)
    models, about = {"image": fit(shop), "regions": other}, {"atlases": {"a": {"image": "0" * 32}}}
    write_models(tmp_path / "index.json", models, about, {name: {} for name in models})
    cards = {name: card for name, (_, card) in read_models(tmp_path / "index.json").items()}
    assert "atlases" not in cards["image"] and cards["regions"]["atlases"] == about["atlases"]


@pytest.mark.parametrize(
    "damage", ["arrays", "card", "intercept", "no arrays", "no card", "cut off", "of another"]
)
def test_a_changed_model_is_refused_in_one_sentence(shop: Workshop, tmp_path: Path, damage: str) -> None:
    index = tmp_path / "models/index.json"
    write_models(index, {"J0_mri": fit(shop), "other": fit(shop, c=1.0)}, {}, {"J0_mri": {}, "other": {}})
    arrays, card = index.parent / "J0_mri/model.safetensors", index.parent / "J0_mri/card.json"
    if damage == "arrays":
        arrays.write_bytes(arrays.read_bytes()[:-1] + b"\x01")
    elif damage == "card":
        card.write_text(card.read_text().replace(json.loads(card.read_text())["arrays"][:8], "00000000"))
    elif damage == "intercept":
        card.write_text(json.dumps({**json.loads(card.read_text()), "intercept": 3.0}))
    elif damage == "no arrays":
        arrays.unlink()
    elif damage == "no card":
        card.unlink()
    elif damage == "cut off":
        arrays.write_bytes(arrays.read_bytes()[:100])
    else:
        arrays.write_bytes((index.parent / "other/model.safetensors").read_bytes())
    with pytest.raises(ConfigError) as error:
        read_models(index)
    sentence = str(error.value)
    assert "J0_mri" in sentence and sentence.endswith(".") and "\n" not in sentence
    assert str(tmp_path) not in sentence


def test_columns_of_another_cohort_fall_into_place_and_absent_ones_are_filled_in(shop: Workshop) -> None:
    wanted = fit(shop).blocks[1]
    own = shop.blocks["J0:clinical"].values[32:]
    order = [4, 0, 3]
    other = Block(
        "J0:clinical", (*(wanted.columns[i] for i in order), "new"), np.hstack([own[:, order], own[:, :1]])
    )
    found = aligned(other, wanted, 8)
    np.testing.assert_array_equal(found[:, order], own[:, order])
    absent = [1, 2, 5]
    assert np.isnan(found[:, absent]).all()
    half = own.copy()
    half[:, absent] = np.nan
    np.testing.assert_array_equal(wanted.transform(found), wanted.transform(half))
    np.testing.assert_array_equal(
        aligned(shop.blocks["J0:clinical"], wanted, 40), shop.blocks["J0:clinical"].values
    )


def test_a_cohort_without_the_block_has_everything_filled_in(shop: Workshop) -> None:
    wanted = fit(shop).blocks[1]
    found = aligned(None, wanted, 3)
    assert found.shape == (3, 6) and np.isnan(found).all()
    assert np.isfinite(wanted.transform(found)).all()


def test_a_region_that_no_lesion_of_another_cohort_reaches_is_0_ml_and_not_missing() -> None:
    names = ("log1p atlas 1 (ml)", "log1p atlas 2 (ml)")
    values = np.random.default_rng(1).gamma(2, size=(20, 2))
    here = workshop(Block("J0:territories", names, values))
    wanted = here.fit(recipe("J0:territories"), np.arange(20), np.arange(20) % 2, seed=1).blocks[0]
    there = Block(
        "J0:territories", ("log1p atlas 7 (ml)", names[1]), np.array([[1.0, 2.0], [np.nan, np.nan]])
    )
    found = aligned(there, wanted, 2)
    assert found[0].tolist() == [0.0, 2.0] and np.isnan(found[1]).all()


def test_embeddings_of_another_kind_are_refused(shop: Workshop) -> None:
    wanted = fit(shop).blocks[0]
    with pytest.raises(ConfigError, match=r"expects 20 columns of J0:mri, found 12"):
        aligned(embedding(5, 12, 1), wanted, 5)
    np.testing.assert_array_equal(aligned(embedding(5, 20, 1), wanted, 5), embedding(5, 20, 1).values)
