from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json, write_json
from reperfuse.core.provenance import digest
from reperfuse.evaluation.bundle import ARRAYS, CARD, read_bundle, write_bundle
from reperfuse.studies.severity import assemble, bundle, fit, names, score, systems
from tests.studies.severity.made_cohorts import Mean, made_cohort, quick_fit, small_section, tables

ASKED = small_section(variants={"plain": {"training": {"epochs": 1}}})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems.imaged, "fit", quick_fit)
    monkeypatch.setattr(bundle.imaged, "build", lambda *_: Mean(0.0))


def frozen(folder: Path, *trials: str) -> list[Path]:
    """Write the models of some trials and return their indices."""
    cohort, found = made_cohort(ASKED, 60), []
    for trial in trials:
        done = fit.run_trial(
            ASKED, cohort, trial, session_ids={}, device="cpu", devices=1, threads=1, state=folder
        )
        found.append(folder / trial / "index.json")
        bundle.write_models(found[-1], done.models, bundle.about(ASKED, trial))
        write_json(folder / f"{trial}.json", [[one.configuration, one.y_score] for one in done.predictions])
        write_json(folder / f"{trial}-held.json", done.facts["held_out"])
    return found


def test_what_is_read_says_the_same_bits_as_what_was_written(tmp_path: Path) -> None:
    (index,) = frozen(tmp_path, "3-1-1")
    models = bundle.read_models(index, device="cpu")
    assert set(models) == set(names.configurations(ASKED)) and "tractnet[plain]" in models
    cohort, held = made_cohort(ASKED, 60), read_json(tmp_path / "3-1-1-held.json")
    said = [
        [name, float(p)] for name in names.configurations(ASKED) for p in models[name].predict(cohort, held)
    ]
    assert said == read_json(tmp_path / "3-1-1.json")
    assert len(models["tractnet"].networks) == 3 and not models["maps"].networks
    assert isinstance(models["tractnet"].networks[0], torch.nn.Module)
    assert models["maps"].predict(cohort, []).shape == (0,) == models["tractnet"].predict(cohort, []).shape


def test_no_bundle_holds_what_is_one_patient_s(tmp_path: Path) -> None:
    (index,) = frozen(tmp_path, "3-1-1")
    cohort = made_cohort(ASKED, 60)
    for name, folder in read_json(index).items():
        arrays, card = read_bundle(index.parent / folder)
        assert "sub-" not in str(card) and str(tmp_path) not in str(card)
        # No axis counts the training patients.
        assert not any(length in (40, 60) for one in arrays.values() for length in one.shape), name
    arrays, _ = read_bundle(index.parent / "log_volume")
    assert arrays["fill"][0] == pytest.approx(
        np.mean([np.log1p(cohort.volumes_ml[who]) for who in cohort.ids if cohort.places[who] != 1])
    )


def test_models_that_were_changed_or_are_others_are_refused(tmp_path: Path) -> None:
    (index,) = frozen(tmp_path, "3-1-1")
    folder = index.parent / "maps"
    arrays, card = read_bundle(folder)
    plain = {key: value for key, value in card.items() if key not in ("arrays", "digest")}
    for changed, gone, said in (
        ({"study": "outcome"}, "", "maps is no model of the severity study"),
        ({"configuration": "log_volume"}, "", "maps is the model of log_volume, not of maps"),
        ({"kind": "magic"}, "", "maps is no model of the severity study"),
        ({}, "mirrored", "maps does not hold what its card speaks of \\('mirrored'\\)"),
    ):
        write_bundle(folder, {key: v for key, v in arrays.items() if key != gone}, {**plain, **changed})
        with pytest.raises(ConfigError, match=said):
            bundle.read_models(index, device="cpu")
    (folder / ARRAYS).write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="one of the two was changed"):
        bundle.read_models(index, device="cpu")
    (folder / ARRAYS).unlink()
    with pytest.raises(ConfigError, match="maps is not a frozen model"):
        bundle.read_models(index, device="cpu")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    (index,) = frozen(tmp_path, "3-1-1")
    folder = index.parent / "tractnet"
    arrays, card = read_bundle(folder)
    write_bundle(folder, {**arrays, "0.more": np.zeros(2)}, {k: v for k, v in card.items() if k != "digest"})
    with pytest.raises(ConfigError, match="tractnet does not hold what its card speaks of"):
        bundle.read_models(index, device="cpu")
    full = {key: value for key, value in read_json(folder / CARD).items() if key != "digest"}
    write_json(folder / CARD, {**full, "members": 2, "digest": digest({**full, "members": 3})})
    with pytest.raises(ConfigError, match="is not as it was written"):
        bundle.read_models(index, device="cpu")


def test_external_patients_get_the_mean_of_the_folds(tmp_path: Path) -> None:
    models = [bundle.read_models(one, device="cpu") for one in frozen(tmp_path, "3-1-1", "3-1-2", "3-1-3")]
    excerpt, records, images, cells = tables(8, seed=5)
    there = {who: f"sub-there+{who[4:]}" for who in excerpt["active"]}
    manifest = {
        "name": "there", "active": list(there.values()), "session_ids": {"J0": "ses-a"},
        "clinical": {there[who]: row for who, row in excerpt["clinical"].items()},
    }  # fmt: skip
    manifest["participants"] = [*manifest["active"], "sub-there+twin", "sub-there+none"]
    twin = {"code": "E124", "path": "a", "values": {"other": "b of the main cohort"}}
    manifest["faults"] = [{**twin, "participant_id": "sub-there+twin"}]
    absent = {"code": "E137", "path": "", "values": {"role": "trace", "visit": "J0"}}
    manifest["eligibility"] = {"severity": {"sub-there+twin": [absent], "sub-there+none": [absent]}}
    manifest["clinical"]["sub-there+002"] = {}
    records, images, cells = ({there[who]: one[who] for who in there} for one in (records, images, cells))
    del images["sub-there+005"]
    cohort = assemble.cohort(ASKED, manifest, records, images, cells)
    split, ids = assemble.unseen(cohort, manifest)
    rows, left_out = score.score(
        models, ASKED, cohort, ids, split=split, session_ids=manifest["session_ids"], target="nihss>4"
    )
    assert set(left_out) == {"sub-005", "sub-twin", "sub-none"} and left_out["sub-005"] == "no image"
    assert "byte for byte" in left_out["sub-twin"] and "trace" in left_out["sub-none"]
    assert list(dict.fromkeys(row.configuration for row in rows)) == names.configurations(ASKED)
    mine = {row.participant_id: row for row in rows if row.configuration == "hybrid"}
    assert set(mine) == {f"sub-00{i}" for i in range(8) if i != 5}
    assert mine["sub-002"].y_true is None and mine["sub-003"].y_true is not None
    assert (mine["sub-003"].split, mine["sub-003"].repeat, mine["sub-003"].fold) == (
        "external:there",
        None,
        None,
    )
    expected = np.mean([one["hybrid"].predict(cohort, ["sub-there+003"])[0] for one in models])
    assert mine["sub-003"].y_score == pytest.approx(expected)
    assert score.score(models, ASKED, cohort, [], split=split, session_ids={}, target="nihss>4")[0] == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"channels": ["adc"]}, r"fitted with `channels` \['trace'\], found \['adc'\]"),
        ({"grid": {"shape": [4, 6, 8]}}, r"fitted with `grid` .*\[4, 6, 6\].*, found .*\[4, 6, 8\]"),
        ({"cell_mm": 12}, "fitted with `cell_mm` 24.0, found 12"),
        ({"minor_max": 5}, "predicts nihss>4, but the configuration asks for nihss>5"),
    ],
)
def test_other_inputs_than_a_model_was_fitted_on_are_refused(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    models = [bundle.read_models(one, device="cpu") for one in frozen(tmp_path, "3-1-1")]
    cohort = made_cohort(ASKED, 60)
    with pytest.raises(ConfigError, match=said):
        score.score(
            models,
            small_section(**changed),
            cohort,
            cohort.ids,
            split="new",
            session_ids={},
            target="nihss>5",
        )
