"""One fold: every configuration fitted on the patients of the others, and their predictions for its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.leakage import Audit
from reperfuse.imaging.volume import Volume
from reperfuse.studies.transformation.assemble import Cohort
from reperfuse.studies.transformation.names import dense_of
from reperfuse.studies.transformation.predicted import BALANCED, DENSE
from reperfuse.studies.transformation.sample import Candidates, candidates, drawn, shares
from reperfuse.studies.transformation.scan import Sample, joined, read_masks, read_scan
from reperfuse.studies.transformation.search import choose
from reperfuse.studies.transformation.systems import Fitted, systems
from reperfuse.studies.transformation.voxels import Rows

Array = np.ndarray
Paths = Mapping[str, Mapping[str, Path]]


@dataclass
class Fold:
    """What a fold leaves.

    Parameters
    ----------
    rows : list of Rows
        Predictions for the patients that were held out.
    likelihoods : dict
        participant_id → map of the primary configuration, 0 where it does not predict.
    models : dict
        Configuration → model.
    facts : dict
        What the record says.
    """

    rows: list[Rows] = field(default_factory=list)
    likelihoods: dict[str, Volume] = field(default_factory=dict)
    models: dict[str, Fitted] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def run_fold(
    section: Mapping[str, Any],
    cohort: Cohort,
    paths: Paths,
    *,
    fold: int,
    device: Any,
    devices: int,
    threads: int,
    state: Path,
) -> Fold:
    """Fit on all folds but one and predict that one.

    Parameters
    ----------
    section : mapping
        ``studies.transformation``.
    cohort : Cohort
        Who takes part.
    paths : mapping
        participant_id → name → path of what the step `perfusion` has written.
    fold : int
        The one that is held out.
    device, devices : torch.device or str, int
        On which networks are trained, and how many of them.
    threads : int
        Of the forest.
    state : Path
        For the states of trainings, by which one that was interrupted goes on.

    Raises
    ------
    Leakage
        A patient, or one of the same group, is on both sides.
    Refusal
        E170: a training came to a number that is not finite.
    """
    done = Fold()
    learnt = [who for who, where in cohort.folds.items() if where != fold]
    held = [who for who, where in cohort.folds.items() if where == fold]
    done.facts = {"fold": fold, "held_out": held, "left_out": dict(cohort.left_out)}
    if not held:
        done.facts["not_fitted"] = "nobody is held out"
        return done
    whole = sampled(section, cohort, paths)
    train = whole.of(learnt)
    if len(set(train.y.tolist())) < 2:
        done.facts["not_fitted"] = "the training patients have no voxels of both classes"
        return done
    audit, salt = Audit(cohort.groups), section["salt"]
    labels = {who: cohort.labels[who] for who in learnt}
    done.facts |= {"n_patients": len(learnt), "n_voxels": len(train), "n_with_ht": int(train.y.sum())}
    about: dict[str, dict[str, Any]] = {}
    done.facts["configurations"] = about
    for name, system in systems(section, device=device, devices=devices, threads=threads).items():
        if name not in whole.maps and name in section["maps"]:
            about[name] = {"not_fitted": "a patient has no such map"}
            continue
        seed = seed_of(salt, "transformation", fold, name)
        choice = choose(
            system, train, labels, audit, n_folds=section["search"]["inner_folds"],
            voxels=section["search"]["voxels"], seed=seed, folder=state / name,
        )  # fmt: skip
        print(f"{name}: fitting on {len(train)} voxels of {len(learnt)} patients", flush=True)
        model = system.fit(train, choice.parameters, seed=seed, folder=state / name / "fit")
        audit.check(name, "model", model.seen, held)
        if name in (*section["modes"], *section["baselines"]):
            audit.check(name, "scaling", train.participants, held)
        done.models[name] = model
        about[name] = {"parameters": choice.parameters, "search": choice.tried}
        if history := getattr(model, "history", None):
            about[name]["loss"] = history
    done.rows += list(balanced(whole.of(held), done.models))
    for who in held:
        dense(done, section, cohort, paths[who], who)
    done.facts["leakage"] = audit.rows()
    return done


def sampled(section: Mapping[str, Any], cohort: Cohort, paths: Paths) -> Sample:
    """Return the balanced sample of everybody; how many voxels one gives depends on all, which ones on no other."""
    asked = section["sample"]
    found: dict[str, Candidates] = {}
    for who, label in cohort.labels.items():
        masks = read_masks(paths[who], positive=label == 1)
        found[who] = candidates(masks.where, masks.ht, ring_voxels=asked["ring_voxels"])
    keys = ("voxels", "cap_per_patient", "from_ht_patients")
    given = shares(found, **{key: asked[key] for key in keys}, salt=section["salt"])
    parts = []
    for who, label in cohort.labels.items():
        flat = drawn(found.pop(who), given[who], who=who, salt=section["salt"])
        scan = read_scan(who, paths[who], section["maps"], cohort.clinical[who])
        ht = np.zeros(scan.concentration.shape[:3], dtype=bool)
        if label:
            ht = read_masks(paths[who], positive=True).ht
        parts.append(scan.sample(flat, ht))
    return joined(parts)


def balanced(sample: Sample, models: Mapping[str, Fitted]) -> Iterator[Rows]:
    """Yield what every model says of the balanced sample of each patient who was held out."""
    scores = {name: model.predict(sample) for name, model in models.items()}
    for i, who in enumerate(sample.participants):
        rows = np.flatnonzero(sample.who == i)
        if len(rows):
            mine = {name: one[rows] for name, one in scores.items()}
            yield Rows(who, sample.at[rows], BALANCED, sample.y[rows], mine)


def dense(
    done: Fold, section: Mapping[str, Any], cohort: Cohort, paths: Mapping[str, Path], who: str
) -> None:
    """Add what some models say of every voxel of a patient's brain, and the map of the primary one."""
    positive = cohort.labels[who] == 1
    masks = read_masks(paths, positive=positive)
    scan = read_scan(who, paths, section["maps"], cohort.clinical[who])
    where = masks.where
    wanted = [name for name in dense_of(section) if name in done.models]
    scores = {name: done.models[name].predict_brain(scan, where) for name in wanted}
    done.rows.append(Rows(who, np.argwhere(where), DENSE, masks.ht[where], scores))
    if section["primary"] in scores:
        likelihood = np.zeros(where.shape, dtype=np.float32)
        likelihood[where] = scores[section["primary"]]
        done.likelihoods[who] = Volume(likelihood, scan.affine)
