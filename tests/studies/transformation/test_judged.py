"""What the study's tables say can be recomputed from the parquet files and the masks by someone who trusts nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.reported import read_paper
from reperfuse.evaluation.tripod import read_items
from reperfuse.studies.transformation import predicted, report, seen
from reperfuse.studies.transformation.report import Judged
from tests.studies.transformation.voxel_samples import (
    COMPARATOR,
    FINGERPRINT,
    PRIMARY,
    ROOT,
    VOXEL_ML,
    Sample,
    write,
)

BALANCED, DENSE = "ht voxel (balanced)", "ht voxel (dense)"


def judged(sample: Sample) -> Judged:
    voxels = predicted.read_predicted(sample.parquet)
    case = report.case_of(sample.section, sample.manifest)
    labels = report.labels_of(voxels, case.clinical, "ht")
    known = seen.of_patients(
        labels, sample.records, sample.files, case.clinical, {}, sample.section["statistics"]
    )
    return report.judged(
        voxels, case, sample.section, folds=sample.folds, manifest=sample.manifest, seen=known, atlases={},
        paper=read_paper(ROOT / "resources/papers/transformation.tsv"),
        items=read_items(ROOT / "resources/tripod_ai.tsv"), assumed={"statistics.remote_mm": 10},
    )  # fmt: skip


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def found(sample: Sample) -> Judged:
    return judged(sample)


def rows_of(found: Judged, table: str, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in found.tables[table][0] if all(row.get(k) == v for k, v in wanted.items())]


def one(found: Judged, table: str, **wanted: Any) -> dict[str, Any]:
    [row] = rows_of(found, table, **wanted)
    return row


def whole(sample: Sample, kind: str) -> Any:
    frames = [pq.read_table(path).to_pandas() for path in sample.parquet]
    joined = pd.concat(frames)
    return joined[joined["set"] == kind]


@pytest.mark.parametrize(("kind", "target"), [("balanced", BALANCED), ("dense", DENSE)])
@pytest.mark.parametrize("name", [PRIMARY, COMPARATOR, FINGERPRINT, "map_k2"])
def test_estimates_are_those_of_the_voxels(
    found: Judged, sample: Sample, kind: str, target: str, name: str
) -> None:
    table = whole(sample, kind)
    if table[name].isna().all():
        assert not rows_of(found, "metrics", target=target, configuration=name)
        return
    asked = {"target": target, "configuration": name, "estimator": "pooled"}
    auc = one(found, "metrics", metric="auc", **asked)
    precision = one(found, "metrics", metric="average_precision", **asked)
    assert auc["estimate"] == pytest.approx(roc_auc_score(table["y_true"], table[name]), abs=1e-12)
    assert precision["estimate"] == pytest.approx(
        average_precision_score(table["y_true"], table[name]), abs=1e-12
    )
    assert precision["prevalence"] == pytest.approx(table["y_true"].mean())
    assert abs(auc["binning_error"]) < 1e-3 and abs(precision["binning_error"]) < 5e-3
    assert auc["ci_low"] < auc["estimate"] < auc["ci_high"] and auc["interval"].endswith("_patients")
    brier = one(found, "metrics", metric="brier", **asked)
    assert brier["estimate"] == pytest.approx(((table[name] - table["y_true"]) ** 2).mean(), rel=1e-6)


def test_voxels_of_a_patient_are_alike_so_that_their_interval_is_too_narrow(found: Judged) -> None:
    for name, factor in ((PRIMARY, 1.2), (COMPARATOR, 1.2), (FINGERPRINT, 2)):
        asked = {"target": BALANCED, "configuration": name, "metric": "auc"}
        patients = one(found, "metrics", estimator="pooled", **asked)
        voxels = one(found, "metrics", estimator="pooled_voxels", **asked)
        assert patients["ci_high"] - patients["ci_low"] > factor * (voxels["ci_high"] - voxels["ci_low"])
        assert "optimistic" in voxels["interval"] and "optimistic" in voxels["note"]


def test_a_fingerprint_of_the_patient_shows_inside_patients(found: Judged) -> None:
    asked = {"target": BALANCED, "configuration": FINGERPRINT, "metric": "auc"}
    assert one(found, "metrics", estimator="pooled", **asked)["estimate"] > 0.65
    assert one(found, "metrics", estimator="within_patient", **asked)["estimate"] == 0.5
    asked["configuration"] = PRIMARY
    inside = one(found, "metrics", estimator="within_patient", **asked)
    assert 0.8 < inside["estimate"] < 0.93 and inside["ci_low"] < inside["estimate"]
    assert any("inside patients" in text for text in found.summary["notices"])


def test_inside_the_infarct_only_places_in_it_count(found: Judged, sample: Sample) -> None:
    table = whole(sample, "dense")
    lesion = table["x"].between(2, 7) & table["y"].between(2, 7) & table["z"].between(0, 2)
    few = table[lesion & table["participant_id"].isin(table[table["y_true"] == 1]["participant_id"])]
    each = {who: roc_auc_score(mine["y_true"], mine[PRIMARY]) for who, mine in few.groupby("participant_id")}
    for who, value in each.items():
        row = one(found, "patients", configuration=PRIMARY, participant_id=who)
        assert row["auc_in_infarct"] == pytest.approx(value) != row["auc"]
    asked = {"target": DENSE, "configuration": PRIMARY, "metric": "auc"}
    mean = one(found, "metrics", estimator="within_infarct", **asked)
    assert mean["estimate"] == pytest.approx(np.mean(list(each.values())))
    assert mean["ci_low"] < mean["estimate"] < mean["ci_high"] and mean["interval"].endswith("_patients")


def test_volumes_of_patients_are_sums_of_likelihoods(found: Judged, sample: Sample) -> None:
    table = whole(sample, "dense")
    for who, mine in table.groupby("participant_id"):
        row = one(found, "patients", configuration=PRIMARY, participant_id=who)
        assert row["predicted_ml"] == pytest.approx(mine[PRIMARY].sum() * VOXEL_ML, rel=1e-6)
        assert row["observed_ml"] == pytest.approx(mine["y_true"].sum() * VOXEL_ML)
        assert row["predicted_corrected_ml"] < row["predicted_ml"]
        assert row["ht"] == int(mine["y_true"].any())
    auc = one(found, "metrics", target="ht patient", configuration=f"{PRIMARY}/volume", metric="auc")
    volumes = table.groupby("participant_id")[PRIMARY].sum()
    assert auc["estimate"] == pytest.approx(
        roc_auc_score(table.groupby("participant_id")["y_true"].max(), volumes)
    )
    assert auc["interval"] == "delong_logit"


def test_correction_for_prevalence_brings_probabilities_down_to_it(found: Judged) -> None:
    asked = {"target": DENSE, "configuration": PRIMARY}
    before, after = (
        rows_of(found, "calibration", stage=stage, **asked) for stage in ("as trained", "at true prevalence")
    )
    gap = [sum(abs(r["mean_score"] - r["observed"]) * r["n"] for r in rows) for rows in (before, after)]
    assert gap[1] < gap[0] / 2
    assert all(
        row["ci_low"] <= row["observed"] + 1e-9 and row["observed"] <= row["ci_high"] + 1e-9 for row in after
    )


def test_the_primary_comparison_is_one_row_and_the_others_are_adjusted(found: Judged) -> None:
    main = one(found, "comparisons", role="primary")
    assert (main["first"], main["second"], main["target"], main["metric"]) == (
        PRIMARY,
        COMPARATOR,
        BALANCED,
        "auc",
    )
    assert main["p_adjusted"] == main["p"] and main["difference"] > 0
    assert main["ci_low"] < main["difference"] < main["ci_high"]
    family = rows_of(
        found, "comparisons", target=BALANCED, metric="average_precision", test="patient_bootstrap"
    )
    assert len(family) == 3 and all(row["p_adjusted"] >= row["p"] for row in family)
    same = rows_of(found, "comparisons", first=f"{PRIMARY}/volume", second="map_k2/volume")
    assert [row["test"] for row in same] == ["delong"]


def test_the_paper_stands_beside(found: Judged) -> None:
    linear = one(found, "paper", configuration="linear")
    assert linear["paper_auc"] == "0.585 ± 0.075" and "can be below 0.486" in linear["note"]
    ours = one(found, "paper", configuration=PRIMARY)
    assert ours["paper_average_precision"] == "0.874 ± 0.059" and ours["prevalence"] is not None
    beside = one(found, "metrics", target=BALANCED, configuration=PRIMARY, metric="auc", estimator="pooled")
    assert beside["paper"] == "0.894 ± 0.043" and ours["auc"] == beside["estimate"]
    assert not any(row["paper"] for row in rows_of(found, "metrics", target=DENSE))


def test_severity_strata_and_who_is_left_out(found: Judged) -> None:
    bias = one(
        found,
        "severity",
        configuration=PRIMARY,
        quantity="predicted_ml",
        against="observed_ml: bias",
        subset="all",
    )
    people = rows_of(found, "patients", configuration=PRIMARY)
    assert bias["estimate"] == pytest.approx(np.mean([r["predicted_ml"] - r["observed_ml"] for r in people]))
    grades = one(found, "severity", configuration=PRIMARY, quantity="predicted_ml", against="ecass: spearman")
    assert grades["n"] == len(people) and "by volume share" in grades["note"]
    tici = rows_of(found, "strata", target=BALANCED, configuration=PRIMARY, variable="tici")
    assert [row["level"] for row in tici] == ["0", "2b", "3"] and sum(row["n"] for row in tici) == 20
    assert found.tables["left-out"][0] == [
        {"participant_id": "sub-99", "stage": "perfusion", "reason": "no arterial input function"}
    ]
    assert len(rows_of(found, "searched", configuration=PRIMARY, chosen=True)) == 4
    curve = rows_of(found, "pr", target=BALANCED, configuration=PRIMARY)
    assert curve[-1]["recall"] == 1 and curve[-1]["precision"] == pytest.approx(curve[-1]["prevalence"])


def test_nothing_that_is_no_number_is_written(found: Judged, tmp_path: Path) -> None:
    json.dumps([found.summary, found.assumptions], allow_nan=False)
    read = {}
    for name, (rows, columns) in found.tables.items():
        values = [row[key] for row in rows for key in columns if isinstance(row.get(key), float)]
        assert np.isfinite(values).all(), name
        write_table(tmp_path / name, rows, columns)
        read[name] = read_table(tmp_path / name)
    text = report.markdown(read)
    assert "| srkda | 0.837 ± 0.026 |" in text and "nan" not in text


def test_the_same_study_twice_is_the_same(found: Judged, sample: Sample) -> None:
    assert judged(sample).tables == found.tables


def test_one_class_is_not_estimable(tmp_path: Path) -> None:
    nobody = judged(write(tmp_path / "study", patients=6, with_ht=0, folds=2))
    pooled = rows_of(nobody, "metrics", metric="auc", estimator="pooled", target=BALANCED)
    assert pooled and all(row["estimate"] is None and row["note"] == "not estimable" for row in pooled)
    assert not rows_of(nobody, "comparisons", target=BALANCED)
    assert "could not be judged" in " ".join(nobody.summary["notices"])
    json.dumps(nobody.summary, allow_nan=False)


def test_no_voxel_at_all_gives_empty_tables(tmp_path: Path) -> None:
    sample = write(tmp_path / "study", patients=4, with_ht=2, folds=2)
    for path in sample.parquet:
        path.write_bytes(b"")
    empty = judged(sample)
    assert empty.summary["n"] == 0 and not empty.tables["metrics"][0]
    assert [row["configuration"] for row in empty.tables["paper"][0]][:2] == ["lstm_pwi", "lstm_pwi+aif"]
    assert not any("auc" in row for row in empty.tables["paper"][0])
