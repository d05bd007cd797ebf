"""What the fusion study's tables say can be recomputed from the rows of its models by someone who trusts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.reported import Reported
from reperfuse.studies.fusion import judge, names
from reperfuse.studies.fusion.report import COLUMNS, Judged
from reperfuse.studies.fusion.summary import beside_paper, in_paper, notices, pairs
from tests.studies.fusion.fusion_samples import (
    BAD,
    FOLDS,
    PRIMARY,
    SECTION,
    N,
    judged,
    models,
    reconstructions,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged(tmp_path_factory.mktemp("fusion"))


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return pd.DataFrame(reconstructions())


def rows_of(found: Judged, table: str, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in found.tables[table][0] if all(row.get(k) == v for k, v in wanted.items())]


def value(
    found: Judged,
    metric: str,
    configuration: str = PRIMARY,
    target: str = "all",
    estimator: str = "fold_mean",
):
    (row,) = rows_of(
        found, "metrics", metric=metric, configuration=configuration, target=target, estimator=estimator
    )
    return row["estimate"]


def held(raw: pd.DataFrame, configuration: str, code: str = "own") -> pd.DataFrame:
    return raw[
        (raw.configuration == configuration) & (raw.held_out == 1) & (raw.code == code) & (raw.fold > 0)
    ]


def test_errors_are_means_over_contrasts_patients_and_folds(found: Judged, raw: pd.DataFrame) -> None:
    mine = held(raw, PRIMARY)
    by_fold = mine.groupby("fold")
    assert value(found, "mse") == pytest.approx(by_fold.mse.mean().mean(), rel=1e-4)
    r2 = 1 - by_fold.mse.sum() / by_fold.mse_mean.sum()
    assert value(found, "r2") == pytest.approx(r2.mean(), rel=1e-4)
    assert value(found, "r2", estimator="fold_worst") == pytest.approx(r2.min(), rel=1e-4)
    trained = (
        raw[(raw.configuration == PRIMARY) & (raw.held_out == 0) & (raw.fold > 0)].groupby("fold").mse.mean()
    )
    assert value(found, "generalisation_gap") == pytest.approx(
        (by_fold.mse.mean() - trained).mean(), rel=1e-3
    )
    shuffled = held(raw, PRIMARY, "shuffled").groupby("fold").mse.sum() / by_fold.mse.sum()
    assert value(found, "shuffled_ratio") == pytest.approx(shuffled.mean(), rel=1e-4)
    one = mine[mine.contrast == "adc"].groupby("fold").mse.mean()
    assert value(found, "mse", target="adc") == pytest.approx(one.mean(), rel=1e-4)


def test_the_interval_allows_for_overlapping_training_sets(found: Judged) -> None:
    (row,) = rows_of(
        found, "metrics", metric="r2", configuration=PRIMARY, target="all", estimator="fold_mean"
    )
    values = [
        r["estimate"]
        for r in rows_of(found, "metrics-by-fold", metric="r2", configuration=PRIMARY, target="all")
    ]
    error = np.std(values, ddof=1) * np.sqrt(1 / FOLDS + 1 / (FOLDS - 1))
    assert row["ci_high"] - row["estimate"] == pytest.approx(3.182 * error, rel=1e-3)
    assert row["n"] == N and len(values) == FOLDS


def test_cnr_is_judged_only_where_originals_tell_tissues_apart(found: Judged, raw: pd.DataFrame) -> None:
    mine = held(raw, PRIMARY)
    known = mine[mine.contrast != "jac"].groupby(["fold", "participant_id"])[
        ["cnr_original", "cnr_reconstructed"]
    ]
    sums = known.mean().groupby("fold").sum()
    wanted = (sums.cnr_reconstructed / sums.cnr_original - 1).mean()
    assert value(found, "cnr_change") == pytest.approx(wanted, rel=1e-4)
    assert value(found, "cnr_change", target="jac") is None
    assert not rows_of(found, "flags", quantity="cnr_change", target="jac")
    assert len(rows_of(found, "flags", quantity="cnr_change", target="adc", configuration=PRIMARY)) == N


def test_flags_name_who_failed_in_what(found: Judged) -> None:
    failed = rows_of(found, "flags", quantity="mse", level="failed")
    assert {row["participant_id"] for row in failed} == {BAD}
    assert {row["configuration"] for row in failed} == {one for one in names.sets(SECTION) if "trace" in one}
    assert {row["target"] for row in failed} == {"trace"}
    assert all(row["limit"] == 0.1 for row in failed)
    subject = [
        {
            "target": "adc",
            "mse": 0.07,
            "cnr_change": -0.09,
            **dict.fromkeys(("participant_id", "configuration", "fold")),
        }
    ]
    (row,) = judge.flags(subject, mse_flags=(0.04, 0.1), cnr_drop=0.1)
    assert (row["level"], row["limit"]) == ("doubtful", 0.04)


def test_mirror_images_are_held_against_the_network_before_plain_components() -> None:
    names = ["a", "a[unet]", "a[voxel_pca]", "a[voxel_pca_mirrored]", "b", "b[unet]"]
    found = [second for first, second in pairs(names, "a") if first == "a"]
    assert found == ["a[voxel_pca_mirrored]", "a[voxel_pca]", "a[unet]"]
    assert pairs([names[0], names[2]], "a") == [("a", "a[voxel_pca]")]
    assert pairs(names, "a")[-1] == ("b", "b[unet]")


def test_the_declared_comparison_comes_first_and_is_not_adjusted(found: Judged, raw: pd.DataFrame) -> None:
    rows = rows_of(found, "comparisons", role="primary")
    assert {(r["first"], r["second"]) for r in rows} == {(PRIMARY, f"{PRIMARY}[voxel_pca]")}
    ours, theirs = held(raw, PRIMARY), held(raw, f"{PRIMARY}[voxel_pca]")
    r2 = [1 - one.groupby("fold").mse.sum() / one.groupby("fold").mse_mean.sum() for one in (ours, theirs)]
    (test,) = rows_of(found, "comparisons", role="primary", test="corrected_t")
    assert test["difference"] == pytest.approx((r2[0] - r2[1]).mean(), rel=1e-3) and test["difference"] > 0.1
    assert test["p"] == test["p_adjusted"] < 0.05 and test["n"] == N
    second = rows_of(found, "comparisons", role="secondary", test="corrected_t")
    assert all(row["p_adjusted"] >= row["p"] for row in second)
    assert {(r["first"], r["second"]) for r in second} >= {
        (PRIMARY, f"{PRIMARY}[unet]"),
        (PRIMARY, f"{PRIMARY}[half]"),
        ("trace+adc", "trace+adc[unet]"),
    }
    (drawn,) = rows_of(found, "comparisons", role="primary", test="patient_bootstrap")
    assert drawn["ci_low"] < drawn["difference"] < drawn["ci_high"]


def test_a_code_that_carries_nothing_has_a_ratio_of_one(tmp_path: Path) -> None:
    rows = reconstructions()
    own = {key(row): row["mse"] for row in rows if row["code"] == "own" and row["held_out"]}
    flat = judged(tmp_path, rows=[{**row, "mse": own.get(key(row), row["mse"])} for row in rows])
    assert value(flat, "shuffled_ratio") == pytest.approx(1)


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["participant_id"], row["configuration"], row["fold"], row["contrast"]


def test_parameters_name_the_block_of_the_paper(found: Judged) -> None:
    *networks, block = rows_of(found, "parameters")
    assert (block["n_parameters"], block["standard_equivalent"]) == (11_808, 248_832)
    assert block["ratio"] == pytest.approx(21.07, abs=0.01)
    assert [row["configuration"] for row in networks] == [one.name for one in names.systems(SECTION)]
    (pca,) = rows_of(found, "parameters", configuration=f"{PRIMARY}[voxel_pca]")
    assert pca["n_parameters"] is None and pca["ratio"] is None


def test_the_curve_sets_benefit_beside_cost(found: Judged) -> None:
    rows = rows_of(found, "contrasts-curve")
    assert [row["n_contrasts"] for row in rows] == sorted(row["n_contrasts"] for row in rows)
    adc = [row for row in rows if row["target"] == "adc"]
    assert {row["configuration"] for row in adc} == {"adc", "trace+adc", "adc+jac", PRIMARY}
    costs = {row["n_contrasts"]: row["n_parameters"] for row in adc}
    assert costs[1] < costs[2] < costs[3]
    assert {row["strata_ari"] for row in rows if row["configuration"] == "trace+adc"} == {0.55}
    assert not [row for row in rows if row["target"] == "all" and row["n_contrasts"] == 1]


def test_the_papers_numbers_stand_beside_ours(found: Judged) -> None:
    def ours(**wanted: Any) -> list[Any]:
        return [row.get("ours") for row in rows_of(found, "paper", **wanted)]

    assert ours(quantity="n_strata") == [3] and ours(quantity="n_factors") == [3]
    assert ours(quantity="code_length") == [32] and ours(quantity="parameter_ratio")[0] == pytest.approx(
        21.07, abs=0.01
    )
    low, high = (
        rows_of(found, "paper", quantity="mse", configuration=f"{end} pair") for end in ("lowest", "highest")
    )
    assert {row["ours_configuration"].partition("[")[2] for row in low + high} == {"", "unet]"}
    lowest = min(value(found, "mse", one) for one in ("trace+adc", "trace+jac", "adc+jac"))
    assert lowest in [row["ours"] for row in low] and lowest not in [row["ours"] for row in high]
    assert {row["paper"] for row in low + high} == {"0.02–0.038"}
    assert ours(configuration="jac+ndi") == [None, None]


def test_metrics_have_the_papers_value_of_the_same_measure(found: Judged) -> None:
    told = {
        (row["configuration"], row["target"], row["metric"])
        for row in rows_of(found, "metrics")
        if row.get("paper")
    }
    pairs = {f"{one}{kind}" for one in ("trace+adc", "trace+jac", "adc+jac") for kind in ("", "[unet]")}
    assert told == {(one, "all", "mse") for one in pairs}
    limits = [
        Reported("jac+adc", metric, "fold_mean", "at most", value, "", "made up", True)
        for metric, value in (("mse", "0.02"), ("cnr_loss", "0.05"))
    ]
    of = in_paper(limits)
    assert of("all", "adc+jac[unet]", "mse") == "≤ 0.02" and of("all", "adc+jac", "cnr_change") == "≥ −0.05"
    assert not of("adc", "adc+jac", "mse") and not of("all", "adc+jac[voxel_pca]", "mse")


def test_smoothing_is_said_before_the_numbers() -> None:
    smoothed = {**SECTION, "intensity": {**SECTION["intensity"], "smooth_mm": 3}}
    (said,) = set(notices(smoothed, models(), {}, [])) - set(notices(SECTION, models(), {}, []))
    assert "SD 3 mm" in said and "CNR are of smoothed images" in said


def test_the_change_of_cnr_of_the_mean_embedding_stands_beside(found: Judged, raw: pd.DataFrame) -> None:
    mine = held(raw, PRIMARY, "mean_code")
    sums = mine[mine.contrast == "adc"].groupby("fold")[["cnr_original", "cnr_reconstructed"]].sum()
    wanted = (sums.cnr_reconstructed / sums.cnr_original - 1).mean()
    assert value(found, "mean_code_cnr_change", target="adc") == pytest.approx(wanted, rel=1e-4)


def test_a_loss_is_a_negative_change(found: Judged) -> None:
    one = Reported("jac+adc", "cnr_loss", "fold_mean", "at most", "0.05", "", "made up", True)
    rows = beside_paper([one], rows_of(found, "metrics"), models(), rows_of(found, "parameters"), {}, PRIMARY)
    assert [row["ours_configuration"] for row in rows] == ["adc+jac[unet]", "adc+jac"]
    assert [row["ours"] for row in rows] == pytest.approx([0.03, 0.2])
    assert all(row["ci_low"] is None or row["ci_low"] <= row["ours"] <= row["ci_high"] for row in rows)


def test_who_is_left_out_is_said_once_for_each_stage(found: Judged) -> None:
    rows = [(row["participant_id"], row["stage"]) for row in rows_of(found, "left-out")]
    assert len(rows) == len(set(rows))
    assert {("sub-900", "image"), ("sub-901", "eligibility"), ("sub-899", "adc+jac")} <= set(rows)
    assert ("sub-899", "trace+adc") not in rows and ("sub-900", "adc+jac") not in rows
    assert ("sub-other+9", "external:other") in rows


def test_models_that_could_not_be_fitted_are_named(tmp_path: Path) -> None:
    facts = [
        one | {"not_fitted": "too few patients"} if "-half-" in one["trial"] else one for one in models()
    ]
    rows = [row for row in reconstructions() if row["kind"] != "half"]
    found = judged(tmp_path, rows=rows, facts=facts)
    assert any("half" in one and "too few patients" in one for one in found.summary["notices"])
    assert not rows_of(found, "parameters", configuration=f"{PRIMARY}[half]")


def test_one_stratum_is_said(tmp_path: Path) -> None:
    assert any("No strata were found" in one for one in judged(tmp_path, single=True).summary["notices"])


def test_nothing_fitted_still_makes_every_table(tmp_path: Path) -> None:
    found = judged(tmp_path, rows=[], facts=[])
    assert set(found.tables) == set(COLUMNS) and found.summary["n"] == 0
    assert not rows_of(found, "metrics") and len(rows_of(found, "parameters")) == 1


def test_rows_fit_their_columns(found: Judged, tmp_path: Path) -> None:
    for name, (rows, columns) in found.tables.items():
        assert not [set(row) - set(columns) for row in rows if set(row) - set(columns)], name
        write_table(tmp_path / f"{name}.tsv", rows, columns)
        assert len(read_table(tmp_path / f"{name}.tsv")) == len(rows)
