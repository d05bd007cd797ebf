"""The fine-tuned backbone: what is trained, on whom, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from reperfuse.core.files import write_marker
from reperfuse.core.tables import write_table
from reperfuse.evaluation.interface import COLUMNS, Prediction
from reperfuse.evaluation.leakage import Leakage
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.learning.training import CHECKPOINT
from reperfuse.learning.weights import load_encoder
from reperfuse.networks.classifier import EncoderClassifier
from reperfuse.studies.outcome.finetune import cases_of, finetune
from reperfuse.studies.outcome.tuned import pooled

TARGET = "mrs_3m<=1"
CASES = {f"sub-{i}": (1 + i % 2, int(i in (0, 1, 2))) for i in range(6)}
SETTINGS = {
    "epochs": 1,
    "lr": 0.01,
    "batch": 2,
    "unfreeze": "layer4",
    "clip_norm": 1.0,
    "ema_decay": 0.0,
    "precision": "32-true",
    "weights": None,
}
SETTINGS |= {
    "variant": "medicalnet_dilated",
    "sha256": "",
    "allow_random_weights": True,
    "seed": 1,
    "clip": 3000.0,
}
SETTINGS |= {
    "shape": (8, 16, 16),
    "background": "noise",
    "device": "cpu",
    "devices": 1,
    "salt": "s",
    "target": TARGET,
}
SETTINGS |= {"session_id": "ses-01", "visit": "J0", "fold": 2}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder, random = tmp_path_factory.mktemp("work"), np.random.default_rng(0)
    paths: dict = {}
    for who in CASES:
        brain = np.zeros((12, 12, 6), np.float32)
        brain[2:10, 2:10, 1:5] = 1
        adc = (brain * (800 + 100 * random.standard_normal(brain.shape))).astype(np.float32)
        for name, data in {"adc": adc, "brain": brain}.items():
            path = folder / who / f"J0_{name}.nii.gz"
            write_volume(path, Volume(data, np.diag([-8.0, 8.0, 12.0, 1.0])))
            paths.setdefault(who, {}).setdefault("J0", {})[name] = path
    return paths


def test_a_fold_is_predicted_by_a_network_that_was_trained_on_the_others(shown: dict, tmp_path: Path) -> None:
    done = finetune(CASES, shown, {}, **SETTINGS, state=tmp_path)
    assert done is not None
    assert [one.participant_id for one in done.predictions] == ["sub-1", "sub-3", "sub-5"]
    assert {(one.configuration, one.split, one.repeat, one.fold) for one in done.predictions} == {
        ("J0_mri[backbone=finetuned]", "cv", 1, 2)
    }
    assert [one.y_true for one in done.predictions] == [1, 0, 0]
    scores = [one.y_score for one in done.predictions]
    assert len(set(scores)) == 3 and all(0 < score < 1 for score in scores)
    assert len(done.facts["loss"]) == 1 and np.isfinite(done.facts["loss"][0])
    (row,) = done.facts["leakage"]
    assert row["n_seen_max"] == 3 and row["n_overlap"] == 0
    assert done.facts["weights"]["text"] == "NOT MedicalNet: random weights, seed 1"
    kept = load(done.model)
    assert {name.split(".")[1] for name in kept if name.startswith("encoder")} == {"layer4"}
    assert kept["head.weight"].abs().max() > 0, "it began at zero"
    assert (tmp_path / CHECKPOINT).is_file()
    again = finetune(CASES, shown, {}, **SETTINGS, state=tmp_path)
    assert again == done, "taken up from the end of the training, and the same to the bit"


def test_relatives_on_both_sides_end_the_run(shown: dict, tmp_path: Path) -> None:
    with pytest.raises(Leakage, match="fine-tuned network"):
        finetune(CASES, shown, {"sub-0": "family", "sub-1": "family"}, **SETTINGS, state=tmp_path)


def test_one_class_or_an_empty_fold_gives_nothing(tmp_path: Path) -> None:
    assert finetune(CASES, {}, {}, **{**SETTINGS, "fold": 3}, state=tmp_path) is None
    one_class = {who: (fold, 0) for who, (fold, _) in CASES.items()}
    assert finetune(one_class, {}, {}, **SETTINGS, state=tmp_path) is None


def test_only_the_first_repeat_of_the_target_says_who_takes_part() -> None:
    base = {
        "session_id": "",
        "configuration": "J0_mri",
        "split": "cv",
        "repeat": 1,
        "fold": 2,
        "y_score": 0.5,
    }
    rows = [
        Prediction("sub-1", target=TARGET, y_true=1, **base),
        Prediction("sub-2", target="mrs_3m<=2", y_true=1, **base),
        Prediction("sub-3", target=TARGET, y_true=0, **{**base, "repeat": 2}),
        Prediction("sub-4", target=TARGET, y_true=None, **{**base, "split": "new", "fold": None}),
    ]
    assert cases_of(rows, TARGET) == {"sub-1": (2, 1)}


def test_a_visit_that_lacks_a_fold_is_left_out(tmp_path: Path) -> None:
    paths = [tmp_path / f"{part}/predictions.tsv" for part in ("J0-1", "J0-2", "J1-1", "J1-2")]
    for path in paths:
        row = Prediction(path.parent.name, "", TARGET, "x", "cv", 1, 1, 1, 0.5)
        write_table(path, [vars(row)], COLUMNS)
    assert len(pooled(paths)) == 4
    write_marker(paths[1])
    assert [row["participant_id"] for row in pooled(paths)] == ["J1-1", "J1-2"]
    assert pooled([]) == []


def test_what_is_frozen_stays_and_normalisations_keep_their_statistics() -> None:
    encoder, _ = load_encoder("medicalnet_dilated", None, sha256="", allow_random=True, seed=1)
    module = EncoderClassifier(encoder, "layer4", 0.4).train()
    x = torch.randn(2, 1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    assert module(x).detach().numpy() == pytest.approx([0.4, 0.4], abs=1e-6)
    assert module.training and not module.encoder.bn1.training
    names = set(module.tuned())
    assert all(name.startswith(("encoder.layer4.", "head.")) for name in names)
    assert set(EncoderClassifier(encoder, "all", 0.0).tuned()) == {
        name for name, _ in module.named_parameters()
    }
    with pytest.raises(ValueError, match="layer4, all"):
        EncoderClassifier(encoder, "head", 0.0)  # type: ignore[arg-type]
