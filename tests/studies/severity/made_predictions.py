"""Predictions, trials and records as the rules of the study leave them, of patients who never were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.settings import fill, load_schema
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.reported import read_paper
from reperfuse.evaluation.tripod import read_items
from reperfuse.studies.severity import names, report
from reperfuse.studies.severity.report import Judged

ROOT = Path(__file__).parents[3]
CONFIGURATIONS = (
    "tractnet",
    "resnet18",
    "log_volume",
    "log_volume+age",
    "ensemble",
    "hybrid",
    "tractnet[no_mamba]",
)
# How much of the truth each knows.
STRENGTH = dict(zip(CONFIGURATIONS, (1.6, 1.0, 1.2, 1.3, 1.7, 2.0, 1.4), strict=True))
SMALL: dict[str, Any] = {
    "n_folds": 4, "repeats": 2, "other_n_folds": [3], "networks": ["tractnet", "resnet18"],
    "baselines": ["log_volume", "log_volume+age"], "ensemble": ["tractnet", "log_volume"],
    "hybrid": ["tractnet", "log_volume", "age"], "variants": {"no_mamba": {"network": {"bottleneck": "none"}}},
}  # fmt: skip
STATISTICS = {"bootstrap": 100, "swaps": 200, "subgroup_minimum": 4}


@dataclass(frozen=True)
class Sample:
    """What `report.judged` is given."""

    section: dict[str, Any]
    manifests: list[dict[str, Any]]
    records: list[dict[str, Any]]
    predictions: list[Prediction]
    scores: list[dict[str, str]]
    unscored: list[dict[str, str]]

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Facts of the trials."""
        return [one["facts"] for one in self.records if one["step"] == "severity_fold"]

    def judged(self) -> Judged:
        """Return what the judge makes of it."""
        case = report.case_of(self.section, self.manifests, self.records)
        return report.judged(
            self.predictions, self.scores, case, self.section, manifests=self.manifests, left_out=self.unscored,
            assumed={"minor_max": 4}, trials=self.trials,
            paper=read_paper(ROOT / "resources/papers/severity.tsv"),
            items=read_items(ROOT / "resources/tripod_ai.tsv"),
        )  # fmt: skip

    def without(self, configuration: str, trial: str) -> Sample:
        """Return the sample as if one configuration had not been fitted in one trial."""
        place, split = names.parse(trial), names.split_of(self.section, trial)
        gone = (configuration, split, place.repeat, place.fold)
        kept = [
            one for one in self.predictions if (one.configuration, one.split, one.repeat, one.fold) != gone
        ]
        records = [_not_fitted(one, configuration, trial) for one in self.records]
        return replace(self, predictions=kept, records=records)


def _not_fitted(record: dict[str, Any], configuration: str, trial: str) -> dict[str, Any]:
    facts = record["facts"]
    if facts.get("trial") != trial:
        return record
    about = {**facts["configurations"], configuration: {"not_fitted": "its loss was not finite"}}
    return {**record, "facts": {**facts, "configurations": about}}


def sample(n: int = 80, *, others: int = 50, grades: Sequence[int] | None = None) -> Sample:
    """Return a cohort of n patients and another one of which nothing was fitted."""
    rng = np.random.default_rng(7)
    section = fill({}, load_schema(ROOT / "workflow/schemas", "severity"))
    section |= {**SMALL, "statistics": {**section["statistics"], **STATISTICS}}
    ids = [f"sub-{i:03d}" for i in range(n)]
    truth = rng.normal(size=n)
    grade = np.clip(np.round(5 + 4 * truth), 0, 30).astype(int) if grades is None else np.array(grades)
    y = (grade > section["minor_max"]).astype(int)
    volume = np.exp(1.5 + truth + rng.normal(size=n))
    age = rng.integers(40, 90, n)
    clinical = {
        who: {"nihss": int(g), "age": float(age[i]), "sex": "FM"[i % 2], "prior_stroke": float(not i % 5)}
        for i, (who, g) in enumerate(zip(ids, grade, strict=True))
    }  # fmt: skip
    clinical[ids[0]].pop("prior_stroke")
    rows = [{"participant_id": who, "fold": i % 4 + 1, "group": who} for i, who in enumerate(ids)]
    manifest = {
        "name": "", "active": ids, "clinical": clinical, "folds": {"severity": {"rows": rows, "n_folds": 4}},
        "eligibility": {"severity": {who: [] for who in ids}}, "session_ids": {"J0": "01"},
    }  # fmt: skip
    records = [_lesions(who, float(v)) for who, v in zip(ids, volume, strict=True)]
    predictions: list[Prediction] = []
    target = names.target(section)
    for trial in names.trials(section, range(1, 5)):
        place, split = names.parse(trial), names.split_of(section, trial)
        if place.fold == 1:
            draw = {name: _scores(rng, truth, STRENGTH[name]) for name in CONFIGURATIONS}
            at = (
                np.arange(n) % place.n_folds + 1
                if place.repeat == 1
                else rng.permutation(n) % place.n_folds + 1
            )
        held = np.flatnonzero(at == place.fold)
        predictions += [
            Prediction(ids[i], "01", target, name, split, place.repeat, place.fold, int(y[i]), float(p[i]))
            for name, p in draw.items() for i in held
        ]  # fmt: skip
        records.append(_trial(trial, split, [ids[i] for i in held], n))
    theirs = rng.normal(size=others)
    scores = [
        {"participant_id": f"sub-{i:03d}", "session_id": "", "target": target, "configuration": name,
         "split": "external:other", "repeat": "", "fold": "", "y_true": "" if i < 3 else str(int(t > 0.8)),
         "y_score": str(float(p))}
        for name in CONFIGURATIONS[:6]
        for i, (t, p) in enumerate(zip(theirs, _scores(rng, theirs, STRENGTH[name]), strict=True))
    ]  # fmt: skip
    unscored = [{"split": "external:other", "participant_id": "sub-900", "reason": "no image"}]
    return Sample(section, [manifest, {"name": "other"}], records, predictions, scores, unscored)


def _scores(rng: np.random.Generator, truth: np.ndarray, strength: float) -> np.ndarray:
    noisy = strength * truth + rng.normal(size=truth.size)
    return 1 / (1 + np.exp(-noisy))


def _lesions(who: str, volume: float) -> dict[str, Any]:
    row = {
        "visit": "J0",
        "criterion": "given",
        "volume_ml": volume,
        "side": "left" if len(who) % 2 else "right",
    }
    return {
        "participant_id": who,
        "step": "lesions",
        "facts": {"rows": [row], "lesion": {"J0": "given (mask)"}},
    }


def _trial(trial: str, split: str, held: list[str], n: int) -> dict[str, Any]:
    fold = names.parse(trial).fold
    about = {
        name: {"platt": [1.0, 0.0], "threshold": 0.4 + 0.02 * fold, "n_parameters": 100 * k}
        | ({"loss": [[0.7, 0.5], [0.8, 0.4]]} if "net" in name and "log" not in name else {})
        for k, name in enumerate(CONFIGURATIONS, start=1)
    }
    row = {"configuration": "tractnet", "object": "model", "n_fits": 1, "n_seen_min": n - len(held)}
    row |= {"n_seen_max": n - len(held), "n_overlap": 0}
    facts = {
        "trial": trial, "split": split, "n": n - len(held), "n_positive": n // 2, "held_out": held,
        "left_out": {"sub-999": "no image"}, "configurations": about, "leakage": [row],
    }  # fmt: skip
    return {"participant_id": f"severity/{trial}", "step": "severity_fold", "facts": facts}
