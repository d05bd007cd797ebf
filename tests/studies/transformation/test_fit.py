from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from reperfuse.evaluation.discrimination import auc
from reperfuse.evaluation.leakage import Leakage
from reperfuse.studies.transformation import assemble, bundle, fit, names, scan, voxels
from tests.studies.transformation.made_scans import section, write_cohort

ASKED = {
    "modes": ["lstm_pwi+aif+dwi+clinical", "lstm_pwi+aif+dwi"],
    "lstm": {"epochs": 25, "lr": 0.01, "batch": 32, "output": "each"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    work = tmp_path_factory.mktemp("work")
    paths, records, excerpt = write_cohort(work, 8, 4, n_folds=2)
    asked = section(**ASKED)
    cohort = assemble.cohort(asked, excerpt, records, paths)
    state = work / "state"
    done = fit.run_fold(asked, cohort, paths, fold=1, device="cpu", devices=1, threads=1, state=state)
    return asked, cohort, paths, done


def scores(done: fit.Fold, name: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [one for one in done.rows if one.kind == kind]
    return np.concatenate([one.y for one in rows]), np.concatenate([one.scores[name] for one in rows])


def test_every_configuration_predicts_the_sample_and_finds_what_was_planted(made: tuple[Any, ...]) -> None:
    asked, _, _, done = made
    for name in names.configurations(asked):
        y, p = scores(done, name, "balanced")
        assert ((p >= 0) & (p <= 1)).all() and len(y) == 128
        if name.startswith(("lstm", "forest", "svm", "linear", "srkda", "map_k2")):
            assert auc(y, p) > 0.85, name
    assert {one.participant_id for one in done.rows} == {"sub-00", "sub-02", "sub-04", "sub-06"}


def test_nobody_is_on_both_sides_and_the_record_says_who_was_seen(made: tuple[Any, ...]) -> None:
    _, cohort, _, done = made
    held = {who for who, fold in cohort.folds.items() if fold == 1}
    for model in done.models.values():
        assert model.seen == set(cohort.folds) - held
    rows = {(row["configuration"], row["object"]): row for row in done.facts["leakage"]}
    assert all(row["n_overlap"] == 0 for row in rows.values())
    assert rows["forest", "search"]["n_fits"] == 4 and ("linear", "search") not in rows
    about = done.facts["configurations"]
    assert about["forest"]["parameters"]["min_leaf"] in (1, 5) and len(about["forest"]["search"]) == 2
    assert len(about["lstm_pwi+aif+dwi"]["loss"]) == 25 and "search" not in done.facts
    json.dumps(done.facts, allow_nan=False)


def test_relatives_on_both_sides_end_the_run(made: tuple[Any, ...], tmp_path: Path) -> None:
    asked, cohort, paths, _ = made
    related = assemble.Cohort(
        cohort.labels, cohort.folds, {**cohort.groups, "sub-00": "f", "sub-01": "f"}, cohort.clinical, {}
    )
    asked = {
        **asked,
        "modes": [],
        "baselines": ["linear"],
        "maps": ["map_k2"],
        "primary": "linear",
        "dense": [],
    }
    with pytest.raises(Leakage, match="sub-00"):
        fit.run_fold(asked, related, paths, fold=1, device="cpu", devices=1, threads=1, state=tmp_path)


def test_whole_brains_agree_with_the_sample_and_the_likelihood_map(made: tuple[Any, ...]) -> None:
    _, _, paths, done = made
    by_patient = {(one.participant_id, one.kind): one for one in done.rows}
    for who in ("sub-00", "sub-06"):
        few, whole = by_patient[who, "balanced"], by_patient[who, "dense"]
        assert set(whole.scores) == {"lstm_pwi+aif+dwi", "map_k2"}
        place = {tuple(at): i for i, at in enumerate(whole.at)}
        rows = [place[tuple(at)] for at in few.at]
        for name in whole.scores:
            np.testing.assert_allclose(whole.scores[name][rows], few.scores[name], atol=2e-6)
        np.testing.assert_array_equal(whole.y[rows], few.y)
        likelihood = done.likelihoods[who].data
        np.testing.assert_allclose(likelihood[tuple(whole.at.T)], whole.scores["lstm_pwi+aif+dwi"])
        assert (
            np.count_nonzero(likelihood)
            == len(whole.y)
            == scan.read_masks(paths[who], positive=False).where.sum()
        )


def test_a_baseline_predicts_a_brain_as_it_predicts_voxels(made: tuple[Any, ...]) -> None:
    asked, cohort, paths, done = made
    one = scan.read_scan("sub-00", paths["sub-00"], asked["maps"], cohort.clinical["sub-00"])
    where = scan.read_masks(paths["sub-00"], positive=True).where
    whole = done.models["linear"].predict_brain(one, where)
    few = next(r for r in done.rows if (r.participant_id, r.kind) == ("sub-00", "balanced"))
    place = np.cumsum(where.reshape(-1)) - 1
    rows = place[np.ravel_multi_index(tuple(few.at.T), where.shape)]
    np.testing.assert_allclose(whole[rows], few.scores["linear"], rtol=1e-6)


def test_the_table_holds_nulls_where_nothing_was_predicted(made: tuple[Any, ...], tmp_path: Path) -> None:
    asked, _, _, done = made
    columns = names.configurations(asked)
    voxels.write_voxels(tmp_path / "fold-1.parquet", done.rows, columns)
    table = pq.read_table(tmp_path / "fold-1.parquet")
    assert table.column_names == ["participant_id", "x", "y", "z", "set", "y_true", *columns]
    frame = table.to_pandas()
    dense = frame[frame["set"] == "dense"]
    assert dense["forest"].isna().all() and dense["map_k2"].notna().all()
    assert frame[frame["set"] == "balanced"][columns].notna().all().all()
    voxels.write_voxels(tmp_path / "again.parquet", done.rows, columns)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "fold-1.parquet").read_bytes()
    voxels.write_voxels(tmp_path / "none.parquet", [], columns)
    none = pq.read_table(tmp_path / "none.parquet")
    assert none.num_rows == 0 and none.schema.equals(table.schema)


def test_networks_come_back_from_their_bundles_and_other_models_are_not_there(
    made: tuple[Any, ...], tmp_path: Path
) -> None:
    asked, cohort, paths, done = made
    bundle.write_models(tmp_path / "index.json", done.models, bundle.about(asked, 1))
    index = json.loads((tmp_path / "index.json").read_text())
    assert set(index["not_bundled"]) == {"linear", "forest", "svm", "srkda"}
    name = "lstm_pwi+aif+dwi+clinical"
    back = bundle.read_network(tmp_path / index["models"][name], device="cpu")
    one = scan.read_scan("sub-02", paths["sub-02"], asked["maps"], cohort.clinical["sub-02"])
    sample = one.sample(np.arange(200, 220), np.zeros(one.concentration.shape[:3], dtype=bool))
    np.testing.assert_array_equal(back.predict(sample), done.models[name].predict(sample))
    card = json.loads((tmp_path / index["models"][name] / "card.json").read_text())
    assert card["fold"] == 1 and card["n_patients"] == 4 and "forest" in card["not_bundled"]
    assert not any(who in json.dumps(card) for who in cohort.folds), "a card names no patient"


def test_the_same_fold_twice_is_the_same_to_the_bit(made: tuple[Any, ...], tmp_path: Path) -> None:
    asked, cohort, paths, done = made
    few = {**asked, "maps": ["map_k2"], "baselines": ["forest"], "modes": ["lstm_pwi+aif+dwi"]}
    again = fit.run_fold(few, cohort, paths, fold=1, device="cpu", devices=1, threads=1, state=tmp_path)
    for name in ("forest", "lstm_pwi+aif+dwi", "map_k2"):
        for one, other in zip(scores(done, name, "balanced"), scores(again, name, "balanced"), strict=True):
            np.testing.assert_array_equal(one, other)


def test_training_patients_without_haemorrhage_leave_an_empty_fold(
    made: tuple[Any, ...], tmp_path: Path
) -> None:
    asked, cohort, paths, _ = made
    folds = {who: 1 if label else 2 for who, label in cohort.labels.items()}
    apart = assemble.Cohort(cohort.labels, folds, cohort.groups, cohort.clinical, {})
    done = fit.run_fold(asked, apart, paths, fold=1, device="cpu", devices=1, threads=1, state=tmp_path)
    assert done.facts["not_fitted"] == "the training patients have no voxels of both classes"
    assert not done.rows and not done.models
    empty = assemble.Cohort({}, {}, {}, {}, {"sub-00": "no arterial input function"})
    unusable = fit.run_fold(asked, empty, paths, fold=1, device="cpu", devices=1, threads=1, state=tmp_path)
    assert unusable.facts["not_fitted"] == "nobody is held out" and "sub-00" in unusable.facts["left_out"]
    nobody = fit.run_fold(asked, apart, paths, fold=3, device="cpu", devices=1, threads=1, state=tmp_path)
    assert nobody.facts["not_fitted"] == "nobody is held out"
