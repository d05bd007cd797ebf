"""A model from patients to embedding: what it learns from, whom it embeds, and what is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.bundle import read_bundle, write_bundle
from reperfuse.evaluation.leakage import Leakage
from reperfuse.learning import training as loop
from reperfuse.studies.fusion import architecture, assemble, bundle, fit, names, score, training
from tests.studies.fusion import made_cohort as make

MASK = make.brain()


def run(trial: str, folder: Path, asked: Any = None, cohort: Any = None, **changed: Any) -> fit.Fitted:
    asked = asked or make.section()
    given: dict[str, Any] = {"mask": MASK, "tissue": None, "device": "cpu", "devices": 1} | changed
    cohort = cohort or make.made(asked, shape=given["mask"].shape)
    return fit.run_model(asked, cohort, trial, session_ids={"J0": "ses-01"}, state=folder, **given)


@pytest.fixture
def coarse(monkeypatch: Any) -> None:
    make.use_coarse(monkeypatch)


def test_the_real_network_is_fitted_embeds_everybody_and_comes_back_from_its_bundle(tmp_path: Path) -> None:
    asked, mask = make.section(training={"epochs": 1, "batch": 2}), make.brain((64, 64, 64))
    cohort = make.made(asked, 4, mask.shape)
    done = run("trace+adc-none-0", tmp_path, asked, cohort, mask=mask)
    assert done.codes.shape == (4, 2) and done.codes.dtype == np.float32
    assert done.facts["code_length"] == 2 and done.facts["compression"] == 2 * 64**3 / 2
    assert done.facts["standard_equivalent"] > done.facts["n_parameters"]
    assert {row["held_out"] for row in done.rows} == {0} and {row["code"] for row in done.rows} == {"own"}
    index = tmp_path / "trace+adc-none-0" / "index.json"
    bundle.write_model(index, done.model)
    read = bundle.read_model(index, device="cpu")
    assert read is not None and np.array_equal(score.embed(read, asked, cohort, cohort.ids), done.codes)
    assert np.array_equal(score.embed(read, asked, cohort, cohort.ids[2:3])[0], done.codes[2])


@pytest.mark.usefixtures("coarse")
class TestOneModel:
    def test_rows_of_held_out_patients_tell_what_the_code_carries(self, tmp_path: Path) -> None:
        asked = make.section(training={"epochs": 60, "batch": 2, "lr": 0.02, "decay": 1.0})
        done = run("trace+adc-none-1", tmp_path, asked, make.made(asked, 24))
        held = done.facts["held_out"]
        rows = {(one["participant_id"], one["contrast"], one["code"]): one for one in done.rows}
        assert {who for who, _, code in rows if code == "shuffled"} == set(held)
        assert len(rows) == 2 * (24 + 2 * len(held))
        mean = {
            code: np.mean([rows[who, "adc", code]["mse"] for who in held]) for code in ("own", "shuffled")
        }
        assert mean["own"] < mean["shuffled"]
        assert np.mean([rows[who, "adc", "own"]["r2"] for who in held]) > 0
        one = rows[held[0], "trace", "own"]
        assert set(one) == set(fit.COLUMNS)
        assert one["session_id"] == "ses-01" and one["n_voxels"] == MASK.sum() and one["cnr_of"] == "lesion"
        assert done.ids == sorted(done.ids) and len(done.codes) == 24 and done.model is None
        assert done.facts["history"][-1] < done.facts["history"][0]

    def test_nothing_that_is_fitted_depends_on_those_held_out(self, tmp_path: Path) -> None:
        asked, images = make.section(), make.arrays()
        ids = list(images)
        first = run("trace+adc-none-1", tmp_path / "a", asked)
        held = first.facts["held_out"]
        for who, other in zip(held, held[1:] + held[:1], strict=True):
            images[who] = {name: one[::-1] * 3 for name, one in make.arrays()[other].items()}
        changed = assemble.cohort(asked, make.excerpt(ids), {}, images)
        second = run("trace+adc-none-1", tmp_path / "b", asked, changed)
        learnt = [i for i, who in enumerate(first.ids) if who not in held]
        assert first.facts["ranges"] == second.facts["ranges"]
        assert first.facts["history"] == second.facts["history"]
        assert np.array_equal(first.codes[learnt], second.codes[learnt])
        assert not np.array_equal(first.codes, second.codes)

    @pytest.mark.parametrize("changed", [{}, {"flip": True, "shift_mm": 4, "contrast_dropout": 0.3}])
    def test_the_same_seed_gives_the_same_bits_also_after_an_interruption(
        self, tmp_path: Path, monkeypatch: Any, changed: dict
    ) -> None:
        asked = make.section(training={"epochs": 3, "batch": 2, "lr": 0.01, **changed})
        whole = run("trace+adc-none-2", tmp_path / "whole", asked)
        taken, true = [], loop.Stepper.step

        def interrupted(self: Any, batch: Any, progress: Any) -> None:
            if len(taken) == 4:
                raise KeyboardInterrupt
            taken.append(1)
            true(self, batch, progress)

        monkeypatch.setattr(loop.Stepper, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("trace+adc-none-2", tmp_path / "parts", asked)
        monkeypatch.setattr(loop.Stepper, "step", true)
        again = run("trace+adc-none-2", tmp_path / "parts", asked)
        assert np.array_equal(whole.codes, again.codes) and whole.rows == again.rows

    def test_a_fold_and_a_system_have_seeds_of_their_own(self, tmp_path: Path) -> None:
        first, second = (
            run(one, tmp_path).facts["history"] for one in ("trace+adc-none-1", "trace+adc-none-2")
        )
        assert first != second

    def test_relatives_on_both_sides_end_the_run(self, tmp_path: Path) -> None:
        asked = make.section()
        cohort = make.made(asked)
        parted = {**cohort.places, cohort.ids[0]: 1, cohort.ids[1]: 2}
        with pytest.raises(Leakage, match="sub-000"):
            run("trace+adc-none-1", tmp_path, asked, replace(cohort, places=parted))

    def test_what_passes_around_the_embedding_is_the_patients_own_when_codes_are_shuffled(
        self, tmp_path: Path
    ) -> None:
        asked = make.section(training={"epochs": 40, "batch": 2, "lr": 0.02})
        found = {}
        for kind in ("none", "unet"):
            rows = run(f"trace+adc-{kind}-1", tmp_path, asked, make.made(asked, 24)).rows
            by = {code: [one["mse"] for one in rows if one["code"] == code] for code in ("own", "shuffled")}
            held = [one["mse"] for one in rows if one["code"] == "own" and one["held_out"]]
            found[kind] = np.mean(by["shuffled"]) / np.mean(held)
        assert found["unet"] < found["none"]

    def test_who_lacks_a_contrast_takes_part_only_where_that_is_learnt(self, tmp_path: Path) -> None:
        asked, images = make.section(minimum=1), make.arrays()
        del images["sub-004"]["adc"]
        records = {
            "chunk-1": {"fusion_inputs": {"facts": {"missing": {"sub-004": {"adc": "it is constant"}}}}}
        }
        cohort = assemble.cohort(asked, make.excerpt(list(images)), records, images)
        without = run("trace+adc-none-1", tmp_path, asked, cohort)
        assert "sub-004" not in without.ids
        assert without.facts["left_out"] == {"sub-004": "no adc (it is constant)"}
        asked["training"]["contrast_dropout"] = 0.2
        done = run("trace+adc-none-1", tmp_path, asked, cohort)
        assert "sub-004" in done.ids and len(done.ids) == 9
        assert {one["contrast"] for one in done.rows if one["participant_id"] == "sub-004"} == {"trace"}
        assert all(np.isfinite(done.facts["history"])) and np.isfinite(done.codes).all()

    def test_a_signed_map_without_a_range_counts_as_missing(self, tmp_path: Path) -> None:
        images = make.arrays()
        for who in ("sub-003", "sub-005"):
            images[who]["trace"] = images[who]["trace"] - 3 * images[who]["trace"].mean()
        asked = make.section(minimum=1)
        cohort = assemble.cohort(asked, make.excerpt(list(images)), {}, images)
        done = run("trace+adc-none-1", tmp_path, asked, cohort)
        assert set(done.facts["left_out"]) == {"sub-003", "sub-005"} and np.isfinite(done.codes).all()
        assert done.facts["left_out"]["sub-003"].startswith(
            "no trace (it has values below 0; give it a range"
        )
        asked["intensity"] = asked["intensity"] | {"fixed": {"trace": [-500, 500], "adc": [0, 3000]}}
        assert not run("trace+adc-none-1", tmp_path, asked, cohort).facts["left_out"]

    def test_values_that_half_precision_does_not_hold_come_to_their_range(self, tmp_path: Path) -> None:
        images = make.arrays()
        large = {who: {**one, "adc": one["adc"].astype(np.float32) * 1e4} for who, one in images.items()}
        asked, found = make.section(), []
        for arrays, factor in ((images, 1.0), (large, 1e4)):
            asked["intensity"] = asked["intensity"] | {"fixed": {"adc": [0, 3000 * factor]}}
            cohort = assemble.cohort(asked, make.excerpt(list(arrays)), {}, arrays)
            found.append(run("trace+adc-none-1", tmp_path / str(factor), asked, cohort))
        assert found[1].codes == pytest.approx(found[0].codes, rel=1e-2, abs=1e-3)
        assert np.isfinite(found[1].codes).all()

    def test_the_best_the_median_and_the_worst_are_shown(self, tmp_path: Path) -> None:
        done = run("trace+adc-none-1", tmp_path)
        held = done.facts["held_out"]
        assert set(done.shown) == {
            f"{who}/{name}/{what}"
            for who in held
            for name in ("trace", "adc")
            for what in ("original", "reconstructed")
        }  # there are three of them
        one = done.shown[f"{held[0]}/adc/reconstructed"]
        assert one.dtype == np.float16 and not one[~MASK].any()

    def test_voxel_pca_has_as_many_components_as_it_can(self, tmp_path: Path) -> None:
        asked = make.section(network={"code": 50})
        done = run("trace+adc-voxel_pca-1", tmp_path, asked)
        assert done.facts["code_length"] == done.facts["n"] - 1 and done.codes.shape[1] == done.facts["n"] - 1
        learnt = [one["mse"] for one in done.rows if not one["held_out"]]
        assert max(learnt) < 1e-6  # as many components as patients hold them all
        assert done.facts["history"] == [] and "standard_equivalent" not in done.facts

    def test_mirror_images_give_components_of_their_own(self, tmp_path: Path) -> None:
        asked = make.section(network={"code": 50})
        done = run("trace+adc-voxel_pca_mirrored-1", tmp_path, asked)
        assert done.facts["mirrored"] == 1 and done.facts["code_length"] == 2 * done.facts["n"] - 1
        assert done.facts["configuration"] == "trace+adc[voxel_pca_mirrored]"
        assert "mirrored" not in run("trace+adc-voxel_pca-1", tmp_path, asked).facts

    def test_one_component_of_many_patients_is_what_they_have_in_common(self, tmp_path: Path) -> None:
        asked = make.section(network={"code": 1})
        rows = run("trace+adc-voxel_pca-1", tmp_path, asked, make.made(asked, 24)).rows
        mean = {code: np.mean([one["mse"] for one in rows if one["held_out"] and one["code"] == code])
                for code in ("own", "shuffled", "mean_code")}  # fmt: skip
        assert mean["own"] < 0.5 * mean["mean_code"] < 0.5 * mean["shuffled"]
        base = np.mean([one["mse_mean"] for one in rows if one["held_out"] and one["code"] == "own"])
        assert mean["mean_code"] == pytest.approx(base, rel=1e-3)  # the mean code is the mean image

    def test_a_variant_differs_in_what_it_names_alone(self, tmp_path: Path) -> None:
        asked = make.section(variants={"code5": {"network": {"code": 5}}})
        done = run("trace+adc-code5-1", tmp_path, asked)
        assert done.codes.shape[1] == 5 and done.facts["configuration"] == "trace+adc[code5]"

    def test_a_fold_that_holds_nobody_is_said_and_not_fitted(self, tmp_path: Path) -> None:
        done = run("trace+adc-none-7", tmp_path)
        assert "0 held out" in done.facts["not_fitted"] and not done.rows and not done.ids

    def test_a_training_that_fails_is_told(self, tmp_path: Path) -> None:
        asked = make.section(training={"lr": 1e30, "epochs": 20, "clip_norm": 1e30})
        done = run("trace+adc-none-1", tmp_path, asked)
        assert "became" in done.facts["not_fitted"] and not done.rows

    def test_a_single_patient_held_out_has_nobody_to_borrow_a_code_from(self, tmp_path: Path) -> None:
        asked = make.section()
        cohort = make.made(asked)
        alone = {who: 2 if who != "sub-005" else 1 for who in cohort.ids}
        rows = run("trace+adc-none-1", tmp_path, asked, replace(cohort, places=alone)).rows
        assert {one["code"] for one in rows} == {"own", "mean_code"}

    def test_grey_and_white_matter_are_told_apart_by_the_templates_tissue(self, tmp_path: Path) -> None:
        grey = MASK & (np.indices(MASK.shape)[0] < 4)
        rows = run("trace+adc-none-1", tmp_path, tissue={"grey": grey, "white": MASK & ~grey}).rows
        assert {one["cnr_of"] for one in rows} == {"grey_white"}
        assert all(one["cnr_change"] == one["cnr_reconstructed"] / one["cnr_original"] - 1 for one in rows)


def plain(card: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in card.items() if key not in ("digest", "arrays")}


@pytest.mark.usefixtures("coarse")
class TestFrozen:
    def written(self, folder: Path) -> tuple[Path, fit.Fitted]:
        done = run("trace+adc-none-0", folder / "state")
        index = folder / "trace+adc-none-0" / "index.json"
        bundle.write_model(index, done.model)
        return index, done

    def test_it_comes_back_to_the_bit_and_embeds_others_without_a_fit(self, tmp_path: Path) -> None:
        index, done = self.written(tmp_path)
        read = bundle.read_model(index, device="cpu")
        assert read is not None and done.model is not None
        assert make.same(read.rule.module, done.model.rule.module) and read.ranges == done.model.ranges
        others = {f"sub-test+{who[4:]}": one for who, one in make.arrays(3, seed=5).items()}
        manifest = {**make.excerpt(list(others)), "name": "test", "participants": [*others, "sub-test+9"]}
        cohort = assemble.cohort(make.section(), manifest, {}, others)
        assert assemble.unseen(cohort, manifest) == list(others)
        assert cohort.left_out == {"sub-test+9": "no image"}
        codes = score.embed(read, make.section(), cohort, cohort.ids)
        assert codes.shape == (3, 2) and len(np.unique(codes[:, 0])) == 3
        assert score.embed(read, make.section(), cohort, []).shape == (0, 2)

    def test_only_what_is_fitted_on_everybody_is_kept(self, tmp_path: Path) -> None:
        index = tmp_path / "trace+adc-none-1" / "index.json"
        bundle.write_model(index, run("trace+adc-none-1", tmp_path / "state").model)
        assert bundle.read_model(index, device="cpu") is None

    def test_another_grid_is_refused(self, tmp_path: Path) -> None:
        index, _ = self.written(tmp_path)
        model = bundle.read_model(index, device="cpu")
        asked = make.section(grid={"shape": [64, 64, 64], "spacing_mm": [3, 3, 3]})
        with pytest.raises(ConfigError, match="grid"):
            score.embed(model, asked, make.made(asked), ["sub-000"])

    @pytest.mark.parametrize(
        "key, value", [("study", "severity"), ("configuration", "adc"), ("kind", "voxel_pca")]
    )
    def test_a_card_of_something_else_is_refused(self, tmp_path: Path, key: str, value: str) -> None:
        index, _ = self.written(tmp_path)
        arrays, card = read_bundle(index.parent / bundle.FOLDER)
        write_bundle(index.parent / bundle.FOLDER, arrays, {**plain(card), key: value})
        with pytest.raises(ConfigError, match=r"is the model of|does not hold"):
            bundle.read_model(index, device="cpu")

    def test_missing_weights_and_changed_bytes_are_refused(self, tmp_path: Path) -> None:
        index, _ = self.written(tmp_path)
        arrays, card = read_bundle(index.parent / bundle.FOLDER)
        write_bundle(index.parent / bundle.FOLDER, {"mask": arrays["mask"]}, plain(card))
        with pytest.raises(ConfigError, match="does not hold"):
            bundle.read_model(index, device="cpu")
        (index.parent / bundle.FOLDER / "card.json").write_text("{}")
        with pytest.raises(ConfigError, match="not as it was written"):
            bundle.read_model(index, device="cpu")


def test_everybodys_own_contrasts_are_what_a_set_asks_for() -> None:
    asked = make.section(minimum=2)
    images = make.arrays(3)
    del images["sub-001"]["trace"]
    cohort = assemble.cohort(asked, make.excerpt(["sub-000", "sub-001", "sub-002", "sub-009"]), {}, images)
    assert cohort.ids == ("sub-000", "sub-002")
    assert cohort.left_out == {"sub-001": "1 of 2 contrasts; expected at least 2", "sub-009": "no image"}
    assert cohort.lesions["sub-000"].dtype == bool and names.primary(asked).name == "trace+adc"


def test_a_derangement_gives_nobody_the_own_code() -> None:
    for n in (2, 3, 10):
        found = fit._derangement(n, 1)
        assert sorted(found) == list(range(n)) and not (found == np.arange(n)).any()


def test_a_linear_path_begins_at_the_components_of_the_voxels(tmp_path: Path, monkeypatch: Any) -> None:
    mask = make.brain((64, 64, 64))
    asked = make.section(training={"epochs": 1, "batch": 3, "linear": True, "lr": 1e-12})
    cohort = make.made(asked, 3, mask.shape)
    net, pca = (
        run(f"trace+adc-{kind}-0", tmp_path, asked, cohort, mask=mask) for kind in ("none", "voxel_pca")
    )
    mse = [[one["mse"] for one in done.rows] for done in (net, pca)]
    assert mse[0] == pytest.approx(mse[1], rel=1e-3, abs=1e-7)
    assert net.codes == pytest.approx(pca.codes, rel=1e-2, abs=1e-2)
    # Mean, components, and their standard deviations.
    assert net.facts["n_linear"] == pca.facts["n_parameters"] + 2
    # Two components of three patients are as good as their images.
    assert net.model is None and "2 components of the images of 3 patients" in net.facts["not_frozen"]
    monkeypatch.setattr(fit, "gives_away", lambda model: "")
    net = run("trace+adc-none-0", tmp_path, asked, cohort, mask=mask)
    bundle.write_model(tmp_path / "index.json", net.model)
    assert "of few patients" in read_bundle(tmp_path / bundle.FOLDER)[1]["holds"]
    read = bundle.read_model(tmp_path / "index.json", device="cpu")
    assert read is not None and np.array_equal(score.embed(read, asked, cohort, cohort.ids), net.codes)


@pytest.mark.parametrize(
    "n, refused, warned", [(16, True, True), (17, False, True), (32, False, True), (33, False, False)]
)
def test_components_of_few_patients_are_told_and_of_fewer_not_frozen(
    tmp_path: Path, n: int, refused: bool, warned: bool
) -> None:
    held = torch.nn.Module()
    held.register_buffer("components", torch.eye(10)[:, :8])  # two of ten are not used
    rule = training.Network(held, partial=False, device="cpu")
    system = names.System("adc", "none")
    model = bundle.Model(system, rule, {}, MASK, {}, True, {}, {}, n)
    assert model.n_components == 8 and bool(bundle.gives_away(model)) == refused
    bundle.write_model(tmp_path / "index.json", model)
    card = read_bundle(tmp_path / bundle.FOLDER)[1]
    assert ("components may give single images away" in card["holds"]) == warned
    plain = replace(model, linear=False)
    assert plain.n_components == 0 and not bundle.gives_away(plain)


def test_components_are_also_of_mirror_images_and_only_of_those_who_have_every_contrast() -> None:
    mask = make.brain()
    images = np.random.default_rng(0).random((5, 1, *make.SHAPE)).astype(np.float16) * mask

    class Held(torch.nn.Module):
        to_code = torch.nn.Linear(2, 2)

    found = {}
    for mirrored in (False, True):
        module = architecture.AroundComponents(Held(), mask, length=7, n_contrasts=1, width=4)
        module.begin(images, mask, mirrored=mirrored)
        found[mirrored] = int((module.components.abs().sum(dim=1) > 0).sum())
        mean = module.mean.numpy()
    assert found == {False: 4, True: 7} and not module.network.to_code.weight.any()
    assert mean == pytest.approx(
        (images.mean(axis=0) / 2 + images[..., ::-1].mean(axis=0) / 2)[:, mask][0], abs=1e-3
    )
    module = architecture.AroundComponents(Held(), mask, length=7, n_contrasts=1, width=4)
    module.begin(images[:1], mask, mirrored=True)
    assert not module.components.any() and not module.mean.any()


@pytest.mark.slow
def test_the_variational_autoencoder_has_a_code_of_the_same_length(tmp_path: Path) -> None:
    asked, mask = make.section(training={"epochs": 1, "batch": 2}), make.brain((64, 64, 64))
    done = run("trace+adc-autoencoder_kl-1", tmp_path, asked, make.made(asked, 4, mask.shape), mask=mask)
    assert done.codes.shape == (4, 2) and torch.isfinite(torch.tensor(done.facts["history"])).all()
    assert {one["kind"] for one in done.rows} == {"autoencoder_kl"}
