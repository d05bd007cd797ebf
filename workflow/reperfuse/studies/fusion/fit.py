"""One model: fitted on the patients of the other folds, what it makes of its own, and codes of everybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reperfuse.core.errors import Refusal
from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.leakage import Audit
from reperfuse.networks.fusion_autoencoder import parameters_of
from reperfuse.studies.fusion import architecture, baselines, measures, names, ranges, training
from reperfuse.studies.fusion.assemble import VISIT, Cohort, stacked, taking_part, usable
from reperfuse.studies.fusion.bundle import Model, gives_away

Array = np.ndarray
Tissue = Mapping[str, Array]
COLUMNS = (
    "participant_id", "session_id", "configuration", "set", "kind", "fold", "held_out", "contrast", "code", "mse",
    "mse_mean", "r2", "norm_diff", "cnr_of", "cnr_original", "cnr_reconstructed", "cnr_change", "n_voxels",
)  # fmt: skip
OWN, SHUFFLED, MEAN = "own", "shuffled", "mean_code"
# Whose reconstructions are drawn.
SHOWN_KINDS = (names.NONE, names.UNET)


class Rule(Protocol):
    """What encodes and decodes; see `reperfuse.studies.fusion.training.Network`."""

    @property
    def n_parameters(self) -> int: ...

    def encode(self, image: Array, there: Array) -> tuple[Array, Any]: ...

    def decode(self, code: Array, skips: Any, shape: Sequence[int]) -> Array: ...


@dataclass
class Fitted:
    """What a model leaves.

    Parameters
    ----------
    rows : list of dict
        `COLUMNS`; a row for each patient, contrast and code that was decoded.
    ids : list of str
        Whom the model has embedded: everybody who has its contrasts, held out or not.
    codes : ndarray of float32, shape (n, k)
        Of ``ids``.
    model : Model or None
        Of the one that is fitted on everybody.
    shown : dict
        ``sub-X/<contrast>/original`` and ``…/reconstructed`` → (S, R, L) float16 of the held-out patients with the
        smallest, the median and the largest error.
    facts : dict
        What the record says.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    codes: Array = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    model: Model | None = None
    shown: dict[str, Array] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def run_model(
    section: Mapping[str, Any],
    cohort: Cohort,
    trial: str,
    *,
    mask: Array,
    tissue: Tissue | None,
    session_ids: Mapping[str, str],
    device: Any,
    devices: int,
    state: Path,
) -> Fitted:
    """Fit a system on all folds but one, reconstruct that one, and embed everybody.

    Parameters
    ----------
    section : mapping
        ``studies.fusion``; ``grid``, ``intensity``, ``network``, ``training``, ``variants`` and ``salt`` are read.
    cohort : Cohort
    trial : str
        See `reperfuse.studies.fusion.names.models`.
    mask : ndarray of bool, shape (S, R, L)
        Brain of the template; everything is shown, learnt and measured inside it.
    tissue : mapping or None
        ``grey`` and ``white`` matter of the template, as `mask`.
    session_ids : mapping
        Visit → session.
    device, devices : torch.device or str, int
        On which a network is trained, and how many of them.
    state : Path
        For the state of the training, by which one that was interrupted goes on.

    Raises
    ------
    Leakage
        A patient, or one of the same group, is on both sides.
    """
    place = names.parse(trial)
    system, settings = place.system, names.effective(section, place.kind)
    fills = settings["training"]["contrast_dropout"] > 0 and place.kind not in names.BASELINES
    intensity = section["intensity"]
    cohort = usable(cohort, system.contrasts, mask, intensity)
    placed = [who for who in cohort.ids if who in cohort.places]
    ids, left_out = taking_part(cohort, system.contrasts, placed, partial=fills)
    learnt = [who for who in ids if cohort.places[who] != place.fold]
    held = [who for who in ids if cohort.places[who] == place.fold]
    done = Fitted(facts={
        "trial": trial, "configuration": system.name, "contrasts": list(system.contrasts), "n": len(learnt),
        "held_out": held, "left_out": left_out,
    })  # fmt: skip
    if len(learnt) < 2 or not (held or place.fold == names.FINAL):
        done.facts["not_fitted"] = f"{len(learnt)} patients to fit on, {len(held)} held out"
        return done
    audit = Audit(cohort.groups)
    for thing in ("intensity ranges", "model"):
        audit.check(system.name, thing, learnt, held)
    rows = np.isin(ids, learnt)
    images, there, found = stacked(
        cohort, ids, system.contrasts, mask, intensity, section["grid"]["spacing_mm"],
        range_of=lambda name, places, values: ranges.fit(name, values[rows[places]], intensity),
    )  # fmt: skip
    size = parameters_of(len(system.contrasts), mask.shape, **settings["network"])
    seed = seed_of(section["salt"], "fusion", trial)
    print(f"{trial}: fitting on {len(learnt)} patients", flush=True)
    try:
        rule, history = _fitted(
            place.kind, settings, images[rows], there[rows], mask, most=size.code_length,
            spacing_mm=section["grid"]["spacing_mm"], seed=seed, device=device, devices=devices, folder=state,
        )  # fmt: skip
    except Refusal as refusal:
        done.facts["not_fitted"] = refusal.fault.reason
        return done
    done.ids, done.codes = ids, np.stack([rule.encode(*one)[0] for one in zip(images, there, strict=True)])
    judge = _Judge(
        rule, place.kind == names.UNET, system.contrasts, images, there, done.codes, ids, rows, mask, tissue,
        cohort.lesions,
    )  # fmt: skip
    said = {
        "session_id": session_ids.get(VISIT, ""), "configuration": system.name, "set": place.set,
        "kind": place.kind, "fold": place.fold,
    }  # fmt: skip
    done.rows = [{**said, **row} for row in judge.rows(seed=seed_of(seed, "shuffled"))]
    if place.kind in SHOWN_KINDS:
        done.shown = judge.shown(done.rows)
    length = done.codes.shape[1]
    voxels = len(system.contrasts) * mask.size
    done.facts |= {
        "embedded": ids,
        "ranges": {name: [one.low, one.high] for name, one in found.items()},
        "relative": [name for name in found if ranges.is_relative(name, intensity)],
        "history": history,
        "n_parameters": rule.n_parameters,
        "code_length": length,
        "compression": voxels / length if length else None,
        "leakage": audit.rows(),
    }
    if place.kind == names.MIRRORED_PCA:
        done.facts["mirrored"] = 1
    if place.kind not in names.BASELINES:
        # What stands beside the blocks, as with a linear path, is the same in both.
        beside = rule.n_parameters - size.n_parameters
        done.facts["standard_equivalent"] = size.standard_equivalent + beside
        if settings["training"]["linear"]:
            done.facts["n_linear"] = rule.module.n_fixed  # type: ignore[attr-defined]
    if place.fold == names.FINAL and isinstance(rule, training.Network):
        linear, grid = settings["training"]["linear"], dict(section["grid"])
        model = Model(system, rule, found, mask, settings["network"], linear, intensity, grid, len(learnt))
        if why := gives_away(model):
            done.facts["not_frozen"] = why
        else:
            done.model = model
    return done


def _fitted(
    kind: str, settings: Mapping[str, Any], images: Array, there: Array, mask: Array, *, most: int, **how: Any
) -> tuple[Rule, list[float]]:
    """Return what encodes and decodes, and the losses of its training."""
    if kind in (names.VOXEL_PCA, names.MIRRORED_PCA):
        shown = baselines.with_mirrored(images) if kind == names.MIRRORED_PCA else images
        return baselines.fit_voxel_pca(shown, mask, most=most), []
    own, n_contrasts = settings["training"], images.shape[1]
    if kind == names.AUTOENCODER_KL:
        build = partial(baselines.Variational, n_contrasts, settings["network"]["code"])
        own = {**own, "contrast_dropout": 0}
        return training.fit(build, own, images, there, mask, task=baselines.Inferring, **how)

    def begun() -> Any:
        module: Any = architecture.build(kind, settings["network"], n_contrasts, mask, linear=own["linear"])
        if own["linear"]:
            module.begin(images[there.all(axis=1)], mask, mirrored=own["flip"])
        return module

    return training.fit(begun, own, images, there, mask, task=training.Reconstructing, **how)


@dataclass(frozen=True)
class _Judge:
    """Reconstructions of everybody held against their images."""

    rule: Rule
    around: bool
    contrasts: Sequence[str]
    images: Array
    there: Array
    codes: Array
    ids: Sequence[str]
    learnt: Array
    mask: Array
    tissue: Tissue | None
    lesions: Mapping[str, Array]

    def rows(self, *, seed: int) -> Iterator[dict[str, Any]]:
        """Yield a row for each patient and contrast; of those held out also from other codes than their own.

        ``shuffled`` is the code of another held-out patient, with whatever passes around it the patient's own;
        ``mean_code`` the mean of the training patients'.
        """
        means = self._means()
        held = np.flatnonzero(~self.learnt)
        other = _derangement(len(held), seed)
        partners = (
            {int(one): int(held[i]) for one, i in zip(held, other, strict=True)} if len(held) > 1 else {}
        )
        middle = self.codes[self.learnt].mean(axis=0)
        for i in range(len(self.ids)):
            decoded, skips = {OWN: self.codes[i]}, self._skips(i)
            if i in partners:
                decoded[SHUFFLED] = self.codes[partners[i]]
            if not self.learnt[i]:
                decoded[MEAN] = middle
            for name, one in decoded.items():
                yield from self._of(i, name, self.rule.decode(one, skips, self.mask.shape), means)

    def shown(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
        """Return images and reconstructions of the held-out patients with least, median and largest error."""
        errors: dict[str, list[float]] = {}
        for row in rows:
            if row["held_out"] and row["code"] == OWN:
                errors.setdefault(row["participant_id"], []).append(row["mse"])
        order = sorted(errors, key=lambda who: (np.mean(errors[who]), who))
        chosen = dict.fromkeys(order[i] for i in (0, len(order) // 2, -1)) if order else {}
        found = {}
        for who in chosen:
            i = list(self.ids).index(who)
            made = self.rule.decode(self.codes[i], self._skips(i), self.mask.shape) * self.mask
            for m in np.flatnonzero(self.there[i]):
                found[f"{who}/{self.contrasts[m]}/original"] = self.images[i, m]
                found[f"{who}/{self.contrasts[m]}/reconstructed"] = made[m].astype(np.float16)
        return found

    def _skips(self, i: int) -> Any:
        """Return what passes around a patient's code; it would not fit into memory for everybody at once."""
        return self.rule.encode(self.images[i], self.there[i])[1] if self.around else []

    def _means(self) -> Array:
        """Return (M, S, R, L), the mean of the training patients who have each contrast."""
        found = np.zeros(self.images.shape[1:], dtype=np.float64)
        for i in np.flatnonzero(self.learnt):
            found += self.images[i]
        return found / np.maximum(self.there[self.learnt].sum(axis=0), 1)[:, None, None, None]

    def _of(self, i: int, code: str, made: Array, means: Array) -> Iterator[dict[str, Any]]:
        who = self.ids[i]
        for m in np.flatnonzero(self.there[i]):
            original = self.images[i, m].astype(np.float64)
            of = measures.regions(self.contrasts[m], self.mask, self.tissue, self.lesions.get(who))
            yield {
                "participant_id": who, "held_out": int(not self.learnt[i]), "contrast": self.contrasts[m], "code": code,
                **measures.errors(original, made[m], means[m], self.mask),
                **measures.cnr_columns(original, made[m], of), "n_voxels": int(self.mask.sum()),
            }  # fmt: skip


def _derangement(n: int, seed: int) -> Array:
    """Return for each of n who else it is, each once: a random circle through all of them."""
    order = np.random.default_rng(seed).permutation(n)
    found = np.empty(n, dtype=int)
    found[order] = np.roll(order, 1)
    return found
