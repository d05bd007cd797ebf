"""Bad input of studies and of their models: rows of the catalogue of faults that no other file tests."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reperfuse.core.errors import Fault
from reperfuse.core.files import read_json
from reperfuse.core.settings import fill, load_schema
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.leakage import Leakage
from reperfuse.imaging.prepare import Prepared, Source, prepare_visit
from reperfuse.imaging.series import is_synthetic
from reperfuse.studies.outcome import assemble, domain, embedding, frozen, run
from reperfuse.studies.outcome.data import Sources
from reperfuse.studies.outcome.model import Workshop
from reperfuse.studies.outcome.score import score
from tests.faults.build_faults import ROOT, Bases, Patient, phantom
from tests.faults.study_cases import Done, carried_out, embed, manifest_of, page_of
from tests.studies.outcome import cohorts

SCHEMAS = ROOT / "workflow/schemas"
STAMP = "NOT MedicalNet: random weights, seed 1"
PRIMARY = "J1_mri+clinical+lesion"


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return phantom(tmp_path_factory.mktemp("phantom"))


# 70: an imputed image is not a measurement


def prepared(bids: Path, bases: Bases, sidecar: dict[str, Any], entities: str, allow: bool) -> Prepared:
    """Prepare a visit of ADC, trace and brain mask whose ADC map has this sidecar and name."""
    patient = Patient(bids, "sub-1", bases)
    patient.write("trace", "adc")
    path = patient.path("adc", entities=entities)
    patient.path("adc").rename(path)
    described = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
    described.write_text(json.dumps(sidecar))
    sources = {
        "adc": Source(path, (described,), None, bids),
        "trace": Source(patient.path("trace"), (), None, bids),
    }
    settings = fill({}, load_schema(SCHEMAS, "prepare"))
    return prepare_visit(sources, **(settings | {"allow_synthetic": allow} if allow else settings))


@pytest.mark.parametrize(
    ("sidecar", "entities"),
    [
        ({"Synthetic": True}, ""),
        ({"Synthetic": "True"}, ""),
        ({}, "desc-synth"),
        ({"Synthetic": False}, "desc-synth"),
    ],
)
def test_70_a_synthetic_image_is_no_measurement(
    sidecar: dict[str, Any], entities: str, tmp_path: Path, bases: Bases
) -> None:
    visit = prepared(tmp_path, bases, sidecar, entities, allow=False)
    (fault,) = [fault for fault in visit.faults if fault.code == "E164"]
    assert (
        fault.excludes
        and fault.path.startswith("sub-1/ses-02/dwi/sub-1_")
        and "allow_synthetic" in fault.sentence
    )
    # The measured trace goes on; no ADC map is made from anything.
    assert "trace" in visit.images and "adc" not in visit.images
    assert "synthetic" not in json.dumps(visit.facts) and "Synthetic" not in json.dumps(visit.sidecars)


def test_70_a_measured_image_is_used_whatever_else_its_sidecar_says(tmp_path: Path, bases: Bases) -> None:
    visit = prepared(tmp_path, bases, {"Synthetic": False}, "desc-denoised", allow=False)
    assert "adc" in visit.images and not [fault for fault in visit.faults if fault.excludes]


def test_70_a_synthetic_image_is_used_where_it_is_allowed_and_says_so(tmp_path: Path, bases: Bases) -> None:
    visit = prepared(tmp_path, bases, {"Synthetic": True}, "", allow=True)
    assert [fault.code for fault in visit.faults if fault.code.endswith("164")] == ["W164"]
    assert visit.sidecars["adc"]["Synthetic"] is True and visit.facts["images"]["adc"]["synthetic"] is True
    assert "Synthetic" not in visit.sidecars["trace"]


@pytest.mark.parametrize(
    ("name", "sidecar", "synthetic"),
    [
        ("sub-1_desc-synth_ADC.nii.gz", {}, True),
        ("sub-1_desc-synthetic_ADC.nii.gz", {}, True),
        ("sub-1_desc-synthstrip_ADC.nii.gz", {}, False),  # a real image without its skull
        ("sub-synth_ADC.nii.gz", {"Synthetic": None}, False),
        ("sub-1_ADC.nii.gz", {"Synthetic": [True]}, False),
    ],
)
def test_70_what_counts_as_synthetic(name: str, sidecar: dict[str, Any], synthetic: bool) -> None:
    assert is_synthetic(name, sidecar) is synthetic


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A study with everything, its weights random."""
    sources, labels = cohorts.cohort(48, 1)
    return carried_out(sources, labels, tmp_path_factory.mktemp("whole"), stamps=(STAMP,))


# 36: patients whose outcome is not known


def test_36_who_has_no_outcome_is_scored_and_judged_by_nobody(whole: Done) -> None:
    sources, _ = cohorts.cohort(10, 2)
    clinical = copy.deepcopy(dict(sources.clinical))
    blind = ["sub-001", "sub-004", "sub-007"]
    for who in blind:
        clinical[who]["mrs_3m"] = None
    unknown = replace(sources, clinical=clinical)
    section = whole.study.section
    split, candidates = assemble.unseen(section, manifest_of(unknown), unknown, "")
    assert (split, candidates) == ("new", blind)
    models = frozen.read_models(whole.folder / "models/index.json")
    predictions, reasons, _ = score(
        models, section, candidates, unknown, split=split, session_ids={"J1": "ses-02"}
    )
    assert reasons == {} and len(predictions) == len(blind) * len(models)
    assert {one.participant_id for one in predictions} == set(blind)
    for one in predictions:
        assert (one.split, one.y_true, one.fold, one.repeat) == (
            "new",
            None,
            None,
            None,
        ) and 0 < one.y_score < 1
    # An external cohort is scored whole, whether its outcomes are known or not.
    assert assemble.unseen(section, manifest_of(unknown), unknown, "b") == ("external:b", sorted(clinical))


def test_36_who_has_no_outcome_takes_no_part_in_fitting_and_is_counted() -> None:
    sources, _ = cohorts.cohort(10, 2)
    clinical = copy.deepcopy(dict(sources.clinical))
    clinical["sub-003"]["mrs_3m"] = None
    section = cohorts.section()
    assert "sub-003" not in assemble.labels(section, clinical, clinical)[cohorts.TARGET]
    missing = Fault("E138", "", {"name": "mrs_3m"}, "sub-003").as_dict()
    eligibility = {who: [missing] if who == "sub-003" else [] for who in clinical}
    rows = [{"participant_id": who, "fold": 1, "group": who} for who in clinical if who != "sub-003"]
    manifest = {"eligibility": {"outcome": eligibility}, "folds": {"outcome": {"rows": rows}}}
    study = assemble.study(section, manifest, replace(sources, clinical=clinical))
    assert "sub-003" not in study.eligible() and len(study.eligible()) == 9
    (row,) = assemble.left_out(study.left_out, manifest)
    assert row["participant_id"] == "sub-003" and "mrs_3m is missing" in row["reason"]


# 50: nothing is fitted on those whom it predicts for


def test_50_a_scaler_that_has_seen_everybody_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, labels = cohorts.cohort(24, 3)
    study, fit = cohorts.study(sources), Workshop.fitted

    def on_everybody(self: Workshop, name: str, rows: np.ndarray, *rest: Any, **settings: Any) -> Any:
        everybody = np.arange(len(self.ids)) if name.endswith(":clinical") else rows
        return fit(self, name, everybody, *rest, **settings)

    monkeypatch.setattr(Workshop, "fitted", on_everybody)
    with pytest.raises(
        Leakage, match=r"E161 sub-\d+: whole pipeline of J0_clinical was fitted on 6 of the patients"
    ):
        run.run(study, {cohorts.TARGET: labels}, cohorts.folds_of(labels, 4), {})


def test_50_a_family_in_two_folds_ends_the_run() -> None:
    sources, labels = cohorts.cohort(24, 3)
    folds = cohorts.folds_of(labels, 4)
    first, second = next((a, b) for a in labels for b in labels if folds[1][a] != folds[1][b])
    study = replace(
        cohorts.study(sources), groups={who: "f" if who in (first, second) else who for who in labels}
    )
    with pytest.raises(Leakage, match="E161"):
        run.run(study, {cohorts.TARGET: labels}, folds, {})


def test_50_the_audit_covers_every_configuration_and_variant(whole: Done) -> None:
    audited = {row["configuration"]: row for row in whole.run.leakage}
    assert set(audited) >= {one.configuration for one in whole.run.predictions} >= set(whole.study.recipes)
    assert {row["n_overlap"] for row in audited.values()} == {0}
    assert all(row["n_seen_max"] < len(whole.study.eligible()) for row in audited.values())


# 49: too few patients of one class


def test_49_what_cannot_be_estimated_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, labels = cohorts.cohort(20, 4)
    few = {who: int(i in (3, 11)) for i, who in enumerate(labels)}
    for who, row in sources.clinical.items():
        row["mrs_3m"] = 1.0 if few[who] else 4.0  # type: ignore[index]
    done = carried_out(sources, few, tmp_path)
    assert {
        row["estimate"] for row in done.judged.tables["metrics-by-fold"][0] if row["metric"] == "auc"
    } >= {None}
    for path in tmp_path.glob("*.tsv"):
        cells = {cell for line in path.read_text(encoding="utf-8").splitlines() for cell in line.split("\t")}
        assert not cells & {"nan", "NaN", "inf", "-inf"}, path.name
    page = page_of(done, monkeypatch)
    assert "not estimable" in page and not re.search(
        r"\bnan\b", re.sub(r"<(svg|script).*?</\1>", "", page, flags=re.S), re.I
    )


# 68: no weights, or random ones


def test_68_without_weights_the_study_goes_on_without_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, labels = cohorts.cohort(24, 5)
    done = carried_out(replace(sources, embeddings={}), labels, tmp_path)
    names = {one.configuration for one in done.run.predictions}
    assert "J1_clinical+lesion" in names and not [name for name in names if "mri" in name]
    for rows, columns in done.judged.tables.values():
        if "configuration" in columns:
            assert not [row for row in rows if "mri" in str(row["configuration"])]
    assert read_json(tmp_path / "models/index.json") == {}
    notices = " ".join(done.judged.summary["notices"])
    assert f"{PRIMARY}, which was to be compared, could not be made from these data." in notices
    assert "configurations were not made: nobody has" in notices
    assert PRIMARY in page_of(done, monkeypatch)


def test_68_random_weights_are_stamped_wherever_they_are_used(
    tmp_path: Path, whole: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = embed(tmp_path, {"weights": "", "allow_random_weights": True})
    assert record["state"] == "ok" and assemble.stamps_of([record]) == [STAMP]
    vectors = embedding.read_vectors([tmp_path / "chunk/vectors.safetensors"])
    assert {(who, visit, v.shape) for who, found in vectors.items() for visit, v in found.items()} == {
        ("sub-0", "J0", (2048,)), ("sub-1", "J0", (2048,)),
    }  # fmt: skip
    # What is said once is said by the summary, the page and the card of every model.
    assert whole.judged.summary["stamps"] == [STAMP] and STAMP in page_of(whole, monkeypatch)
    models = frozen.read_models(whole.folder / "models/index.json")
    assert len(models) == 2 and all(card["stamps"] == [STAMP] for _, card in models.values())


# 71: a model applied to patients unlike those whom it was fitted on


@pytest.fixture(scope="module")
def elsewhere(whole: Done) -> tuple[Sources, Sources]:
    """A cohort of like patients, and the same of old people with images of another scanner."""
    like, _ = cohorts.cohort(30, 6)
    clinical = {who: {**row, "age": 118.0} for who, row in like.clinical.items()}
    embeddings = {
        who: {visit: 30 * vector for visit, vector in visits.items()}
        for who, visits in like.embeddings.items()
    }
    scans = {who: {"J1": {"vendor": "GE", "field_t": "3", "voxel_mm3": 2.0}} for who in like.clinical}
    return like, replace(like, clinical=clinical, embeddings=embeddings, scans=scans)


def test_71_a_card_says_whom_its_model_was_fitted_on_and_names_nobody(whole: Done) -> None:
    models = frozen.read_models(whole.folder / "models/index.json")
    n = len(whole.study.eligible())
    for name, (model, card) in models.items():
        ranges = card["domain"]
        assert {"J0:clinical age", "J0:clinical nihss"} <= set(ranges) or name.startswith("J1")
        assert {key for key in ranges if key.endswith("distance")} == {f"{name[:2]}:mri distance"}
        assert all(
            one["n"] <= n and (one.get("low") is None or one["low"] <= one["high"]) for one in ranges.values()
        )
        assert not [who for who in whole.study.eligible() if who in json.dumps(card)]
        assert model.seen == frozenset()


def test_71_patients_unlike_those_of_the_model_are_named_in_the_table_and_counted(
    whole: Done, elsewhere: tuple[Sources, Sources], tmp_path: Path
) -> None:
    models = frozen.read_models(whole.folder / "models/index.json")
    like, unlike = elsewhere

    def scored(found: Sources) -> tuple[list[Any], list[dict[str, Any]]]:
        split, candidates = assemble.unseen(whole.study.section, manifest_of(found), found, "b")
        made, _, rows = score(models, whole.study.section, candidates, found, split=split, session_ids={})
        return made, rows

    made, rows = scored(unlike)
    everybody = set(unlike.clinical)
    assert {one.participant_id for one in made} == everybody  # noted, not left out
    for predictor in ("J1:clinical age", "J1:mri distance"):
        mine = [row for row in rows if row["predictor"] == predictor and row["configuration"] == PRIMARY]
        assert {row["participant_id"] for row in mine} == everybody
        assert all(row["value"] > row["high"] and row["split"] == "external:b" for row in mine)
    _, plain = scored(like)
    assert len({row["participant_id"] for row in plain}) < len(everybody)
    assert len([row for row in plain if row["predictor"] == "J1:clinical age"]) < 8
    # The table is read back, and the summary and the page count patients and name nobody.
    write_table(tmp_path / "scores-domain.tsv", rows, domain.COLUMNS)
    counted = domain.counts(
        read_table(tmp_path / "scores-domain.tsv"), {(one.split, one.participant_id) for one in made}
    )
    assert counted[0] == {
        "split": "external:b",
        "predictor": "",
        "n_outside": 30,
        "n_scored": 30,
        "n_fitted": counted[0]["n_fitted"],
    }
    (sentence,) = domain.notices(counted, most=2)
    assert "30 of 30 patients of cohort b lie outside" in sentence and "age (30)" in sentence
