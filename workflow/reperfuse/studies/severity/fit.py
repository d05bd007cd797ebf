"""One trial: every configuration fitted on the patients of the other folds, and their predictions for its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Refusal
from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.calibration import apply_platt, platt
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.leakage import Audit
from reperfuse.evaluation.thresholded import youden
from reperfuse.studies.severity import combine, names, systems
from reperfuse.studies.severity.assemble import VISIT, Cohort, folds, inner_folds
from reperfuse.studies.severity.bundle import folder_name
from reperfuse.studies.severity.models import Model
from reperfuse.studies.severity.systems import Training

Array = np.ndarray


@dataclass
class Trial:
    """What a trial leaves.

    Parameters
    ----------
    predictions : list of Prediction
        Of every configuration for the patients that were held out.
    models : dict
        Configuration → model; of trials whose models are kept.
    facts : dict
        What the record says.
    """

    predictions: list[Prediction] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def run_trial(
    section: Mapping[str, Any],
    cohort: Cohort,
    trial: str,
    *,
    session_ids: Mapping[str, str],
    device: Any,
    devices: int,
    threads: int,
    state: Path,
) -> Trial:
    """Fit on all folds of a repeat but one and predict that one.

    Parameters
    ----------
    section : mapping
        ``studies.severity``.
    cohort : Cohort
        Who takes part.
    trial : str
        See `reperfuse.studies.severity.names.trials`.
    session_ids : mapping
        Visit → session.
    device, devices : torch.device or str, int
        On which networks are trained, and how many of them.
    threads : int
        Of the trees.
    state : Path
        For the states of trainings, by which one that was interrupted goes on.

    Raises
    ------
    Leakage
        A patient, or one of the same group, is on both sides.
    """
    place, split = names.parse(trial), names.split_of(section, trial)
    at = folds(section, cohort, trial)
    learnt = tuple(who for who in cohort.ids if who in at and at[who] != place.fold)
    held = tuple(who for who in cohort.ids if at.get(who) == place.fold)
    labels = {who: cohort.labels[who] for who in learnt}
    done = Trial()
    done.facts = {
        "trial": trial, "split": split, "n": len(learnt), "n_positive": sum(labels.values()),
        "held_out": list(held), "left_out": _left_out(cohort),
    }  # fmt: skip
    inner = inner_folds(
        labels, cohort.groups, section["inner_folds"], seed=_seed(section, trial, "inner")
    )  # fmt: skip
    why = "nobody is held out" if not held else ""
    if not why and not inner:
        why = "the training patients cannot be divided so that every part has patients of both classes"
    if why:
        done.facts["not_fitted"] = why
        return done
    n_inner = len(set(inner.values()))
    done.facts["inner_folds"] = n_inner
    data = Training(
        cohort,
        learnt,
        np.array([labels[who] for who in learnt]),
        np.array([cohort.grade[who] for who in learnt]),
        np.array([inner[who] for who in learnt]),
    )
    run = _Run(section, data, held, trial, Audit(cohort.groups))
    run.alone(device=device, devices=devices, threads=threads, state=state)
    run.combined()
    for name in names.of_repeat(section, place.repeat):
        if name in run.models:
            scores = apply_platt(run.decisions[name], *run.models[name].platt)
            done.predictions += [
                Prediction(who, session_ids.get(VISIT, ""), names.target(section), name, split, place.repeat,
                           place.fold, cohort.labels[who], float(score))
                for who, score in zip(held, scores, strict=True)
            ]  # fmt: skip
    done.facts |= {"configurations": run.about, "leakage": run.audit.rows()}
    done.models = run.models if names.freezes(section, trial) else {}
    return done


@dataclass
class _Run:
    """The configurations of a trial as they are fitted one after the other."""

    section: Mapping[str, Any]
    data: Training
    held: Sequence[str]
    trial: str
    audit: Audit
    models: dict[str, Model] = field(default_factory=dict)
    # Calibrated log odds of training patients by models that had not seen them; decisions on those held out.
    oof: dict[str, Array] = field(default_factory=dict)
    decisions: dict[str, Array] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)

    def alone(self, *, device: Any, devices: int, threads: int, state: Path) -> None:
        """Fit the configurations that do not combine others."""
        data, wanted = self.data, names.of_repeat(self.section, names.parse(self.trial).repeat)
        for name in (one for one in wanted if one in names.alone(self.section)):
            if why := systems.unavailable(name, self.section, data.cohort, data.ids):
                self.about[name] = {"not_fitted": why}
                continue
            print(f"{self.trial} {name}: fitting on {len(data.ids)} patients", flush=True)
            try:
                found = systems.fit(
                    name, self.section, data, seed=_seed(self.section, self.trial, name), threads=threads,
                    device=device, devices=devices, folder=state / folder_name(name),
                )  # fmt: skip
            except Refusal as refusal:  # a training that fails takes its configuration out, not the others
                self.about[name] = {"not_fitted": refusal.fault.reason}
                continue
            for fold in np.unique(data.inner):
                rest, inside = (
                    [who for who, one in zip(data.ids, data.inner == fold, strict=True) if one == side]
                    for side in (False, True)
                )
                self.audit.check(name, "inner model", rest, inside)
            self._keep(name, found.rule, found.oof, found.facts)
            self.decisions[name] = found.rule.decision(data.cohort, self.held)
            lacking = [
                who for ids in (data.ids, self.held)
                for who, one in zip(ids, found.rule.missing(data.cohort, ids), strict=True) if one
            ]  # fmt: skip
            if lacking:
                self.about[name]["filled_in"] = sorted(lacking)

    def combined(self) -> None:
        """Fit what combines them; a configuration that could not be fitted drops out of it."""
        wanted, data = names.of_repeat(self.section, names.parse(self.trial).repeat), self.data
        said = {name: model.log_odds(self.decisions[name]) for name, model in self.models.items()}
        asked, variables = names.hybrid_parts(self.section)
        clinical = [name for name in variables if any(name in data.cohort.clinical[who] for who in data.ids)]
        for name, parts in ((names.ENSEMBLE, list(self.section[names.ENSEMBLE])), (names.HYBRID, asked)):
            if name not in wanted:
                continue
            members = [one for one in parts if one in said]
            if not members:
                self.about[name] = {"not_fitted": "none of its configurations was fitted"}
                continue
            rule: combine.Combined
            if name == names.ENSEMBLE:
                rule = combine.Mean(tuple(members))
                oof = rule.decision(self.oof, data.cohort, data.ids)
            else:
                rule, oof = combine.fit_stack(
                    members, clinical, self.oof, data.y, data.cohort, data.ids, data.inner
                )
            self._keep(name, rule, oof, {"weights": rule.weights})
            self.decisions[name] = rule.decision(said, data.cohort, self.held)
            absent = [one for one in parts if one not in members]
            if name == names.HYBRID:
                absent += [one for one in variables if one not in clinical]
            if absent:
                self.about[name]["without"] = absent

    def _keep(self, name: str, rule: Any, oof: Array, facts: Mapping[str, Any]) -> None:
        """Calibrate a configuration on its out-of-fold decisions and note it."""
        data = self.data
        self.audit.check(name, "model", data.ids, self.held)
        self.audit.check(name, "calibration and threshold", data.ids, self.held)
        slope, intercept = platt(oof, data.y)
        if (
            slope < 0
        ):  # it ranks whom it has not seen no better than chance, and is not to be believed upside down
            slope, intercept = platt(np.zeros(len(oof)), data.y)
        combining = isinstance(rule, combine.Mean | combine.Stack)
        members = {one: self.models[one] for one in rule.members} if combining else {}
        model = Model(rule, (slope, intercept), members)
        self.models[name], self.oof[name] = model, model.log_odds(oof)
        self.about[name] = {
            "platt": [slope, intercept],
            "threshold": youden(data.y, apply_platt(oof, slope, intercept)),
            "n_parameters": rule.n_parameters,
            **facts,
        }


def _left_out(cohort: Cohort) -> dict[str, str]:
    """Return who has a place and takes no part, and why."""
    found = {who: why for who, why in cohort.left_out.items() if who in cohort.places}
    found |= {who: "no label" for who in cohort.ids if who in cohort.places and who not in cohort.labels}
    return dict(sorted(found.items()))


def _seed(section: Mapping[str, Any], trial: str, what: str) -> int:
    return seed_of(section["salt"], "severity", trial, what)
