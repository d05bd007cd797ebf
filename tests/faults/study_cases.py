"""What the tests of studies share: a study carried out whole, an encoder that counts, the rule that embeds."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from reperfuse.core.errors import Fault
from reperfuse.core.files import read_json
from reperfuse.core.records import write_record
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation import interface, reported, tripod
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.learning.weights import Stamp
from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.study_view import read_view
from reperfuse.studies.outcome import domain, embedding, frozen, report, run
from reperfuse.studies.outcome.data import Sources
from reperfuse.studies.outcome.study import Outcome
from reperfuse.studies.shown import shown_images
from tests.faults.build_faults import ROOT
from tests.studies.outcome import cohorts


@dataclass(frozen=True)
class Done:
    """A study that was run: what was fitted, what the judge said, and the folder of its tables."""

    study: Outcome
    run: run.Run
    judged: report.Judged
    folder: Path


def manifest_of(sources: Sources) -> dict[str, Any]:
    return {
        "clinical": sources.clinical,
        "active": {who: {"J0": {"adc": []}, "J1": {"adc": []}} for who in sources.clinical},
        "folders": list(sources.clinical),
        "eligibility": {"outcome": {who: [] for who in sources.clinical}},
        "folds": {
            "outcome": {
                "frozen": False,
                "rows": [{"participant_id": who, "fold": 1, "group": who} for who in sources.clinical],
            }
        },
    }


def carried_out(
    sources: Sources, labels: Mapping[str, int], folder: Path, *, stamps: tuple[str, ...] = (), folds: int = 4
) -> Done:
    """Run the study, write its models, tables and summary."""
    study = cohorts.study(sources)
    known = {cohorts.TARGET: dict(labels)}
    done = run.run(study, known, cohorts.folds_of(labels, folds), {"J0": "ses-01", "J1": "ses-02"})
    facts, manifests = report.facts_of_run(study, done, stamps), [manifest_of(sources)]
    write_table(folder / "predictions.tsv", map(vars, done.predictions), interface.COLUMNS)
    write_table(folder / "training.tsv", done.training, run.TRAINING_COLUMNS)
    predictions = [interface.Prediction.of(row) for row in read_table(folder / "predictions.tsv")]
    judged = report.judged(
        predictions,
        report.case_of(study.section, manifests, facts),
        facts,
        study.section,
        paper=reported.read_paper(ROOT / "resources/papers/outcome.tsv"),
        items=tripod.read_items(ROOT / "resources/tripod_ai.tsv"),
        training=read_table(folder / "training.tsv"),
        permutation=(),
        manifests=manifests,
    )
    for name, (rows, columns) in judged.tables.items():
        write_table(folder / f"{name}.tsv", rows, columns)
    (folder / "summary.json").write_text(json.dumps(judged.summary, allow_nan=False))
    frozen.write_models(
        folder / "models/index.json",
        done.frozen,
        report.card(study, known, stamps),
        domain.domains(study, done.frozen),
    )
    return Done(study, done, judged, folder)


def page_of(done: Done, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the study's page without its figures."""
    monkeypatch.setattr("reperfuse.reporting.study_page.draw", lambda *_: {})
    target = done.folder / "report/outcome.html"
    target.parent.mkdir()
    study_page(read_view(done.folder), target, study="outcome", home="index.html")
    return target.read_text(encoding="utf-8")


class Network:
    """Stands for the encoder; counts the volumes that it was shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown = 0
        self.sha256 = "0" * 64
        monkeypatch.setattr("reperfuse.learning.weights.load_encoder", self.load)
        monkeypatch.setattr("reperfuse.learning.encode.encode", self.encode)

    def load(self, *args: Any, **settings: Any) -> tuple[None, Stamp]:
        return None, Stamp("other", "NOT MedicalNet", self.sha256)

    def encode(self, encoder: Any, volumes: Iterator[np.ndarray], **settings: Any) -> np.ndarray:
        found = [np.full(4, volume.mean(), np.float32) for volume in volumes]
        self.shown += len(found)
        return np.array(found, dtype=np.float32).reshape(-1, 4)


SETTINGS: dict[str, Any] = {
    "variant": "medicalnet_dilated", "sha256": "", "allow_random_weights": False, "seed": 1, "shape": (8, 16, 16),
    "clip": 3000.0, "background": "noise", "precision": "fp32",
}  # fmt: skip


def shown(folder: Path, patients: int = 2) -> dict[str, dict[str, dict[str, Path]]]:
    """Write an ADC map and a brain for each patient; return them as the rule gives them."""
    paths = []
    for i in range(patients):
        rng = np.random.default_rng(i)
        adc = rng.normal(800, 100, (10, 12, 8)).astype(np.float32)
        for name, data in (("adc", adc), ("brain", np.ones(adc.shape, np.float32))):
            paths.append(folder / f"sub-{i}/J0_{name}.nii.gz")
            write_volume(paths[-1], Volume(data, np.diag([4.0, 4.0, 6.0, 1.0])), {})
    return shown_images(paths, "adc", "brain", visits=("J0",))


def encoded(images: Any, folder: Path, **changed: Any) -> tuple[dict[str, np.ndarray], list[Fault]]:
    settings = {**SETTINGS, "weights": None, "device": "cpu", "cache": folder / "embeddings", **changed}
    vectors, faults, _ = embedding.adc_vectors(images, **settings)
    return vectors, faults


class FakeFiles(list[str]):
    """Files of a rule as Snakemake gives them, by name and in order."""

    def __init__(self, **named: Any) -> None:
        super().__init__(
            one for value in named.values() for one in ([value] if isinstance(value, str) else value)
        )
        self.__dict__.update(named)

    def get(self, name: str, otherwise: Any = None) -> Any:
        return getattr(self, name, otherwise)


class Params(dict[str, Any]):
    """Parameters of a rule."""

    code = "0"


def embed(folder: Path, encoder: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """Run the rule's script on two patients; return its record."""
    records = []
    for who, visits in shown(folder).items():
        records.append(str(folder / who / "prepare.json"))
        files = {path.name: path.stat().st_size for path in visits["J0"].values()}
        digests = dict.fromkeys(("cfg", "code", "src", "after"), "")
        write_record(
            records[-1], participant_id=who, step="prepare", faults=[], facts={}, digests=digests, files=files
        )
    config = {
        "bids_dir": "bids", "sessions": {"J0": "01"}, "execution": {"device": "cpu"},
        "studies": {"outcome": {"encoder": encoder}},
    }  # fmt: skip
    cfg = {
        "image": "adc",
        "visits": ["J0"],
        **SETTINGS,
        **{k: v for k, v in encoder.items() if k != "weights"},
        **changed,
    }
    snakemake = SimpleNamespace(
        input=FakeFiles(records=records),
        output=FakeFiles(record=str(folder / "chunk/embed.json"), vectors=str(folder / "chunk/vectors.safetensors")),
        params=Params(cfg=cfg, src=""),
        config=config, wildcards={"chunk": "chunk"}, threads=1, log=[], rule="embed",
    )  # fmt: skip
    (folder / "chunk").mkdir(exist_ok=True)
    with mock.patch.dict(os.environ):  # a job sets the number of threads
        runpy.run_path(str(ROOT / "scripts/embed.py"), init_globals={"snakemake": snakemake})
    return read_json(snakemake.output.record)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)
