"""Every configuration that does not combine others in one form: fitted on some patients, it judges any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from reperfuse.studies.severity import imaged
from reperfuse.studies.severity.assemble import Cohort, cell_array, image_array
from reperfuse.studies.severity.classical import Logistic, fit_logistic
from reperfuse.studies.severity.features import Filling, maker, regions, volume_table
from reperfuse.studies.severity.lesion_maps import Fitting, MapRule, Seen, see
from reperfuse.studies.severity.names import AGE, networks, variant_of
from reperfuse.studies.severity.trees import Forest, fit_forest
from reperfuse.studies.severity.variants import effective

Array = np.ndarray
Section = Mapping[str, Any]
Learnt = TypeVar("Learnt")


class Rule(Protocol):
    """What a configuration has learnt."""

    @property
    def n_parameters(self) -> int:
        """How many numbers were learnt."""
        ...

    def decision(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Return (n) values that rise with the probability of a non-minor stroke."""
        ...

    def missing(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Return (n) whether something of a patient was filled in by the mean of the training patients."""
        ...


@dataclass(frozen=True)
class Tabled:
    """Logistic regression or trees on a table of predictors."""

    name: str
    columns: tuple[str, ...]
    model: Logistic | tuple[Filling, Forest]

    def decision(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Return (n) log odds, or with trees the log of the score."""
        values = maker(self.name, self.columns)(cohort, ids).values
        if isinstance(self.model, Logistic):
            return self.model.decision(values)
        filling, forest = self.model
        return forest.predict(filling.filled(values))

    def missing(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """See `Rule`."""
        return maker(self.name, self.columns)(cohort, ids).missing

    @property
    def n_parameters(self) -> int:
        """Weights and intercept; thresholds and leaves of trees."""
        return len(self.model.weight) + 1 if isinstance(self.model, Logistic) else len(self.model[1].value)


@dataclass(frozen=True)
class Mapped:
    """Ridge regression on maps; ``options`` are those of `reperfuse.studies.severity.lesion_maps.see`."""

    options: Mapping[str, float]
    rule: MapRule

    def decision(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Return (n) the log of the score."""
        return self.rule.decision(seen_of(cohort, ids, self.options))

    def missing(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """See `Rule`."""
        return np.array([who not in cohort.cells or who not in cohort.volumes_ml for who in ids], dtype=bool)

    @property
    def n_parameters(self) -> int:
        """Cells that have a weight, twice; volume and intercept."""
        return int(np.count_nonzero(self.rule.maps) + np.count_nonzero(self.rule.mirrored)) + 2


@dataclass(frozen=True)
class Networks:
    """A network in as many members as there are inner folds; their mean judges those whom none of them has seen."""

    name: str
    members: imaged.Imaged

    def decision(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Return (n) mean log odds."""
        return self.members.predict(image_array(cohort, ids)) if len(ids) else np.empty(0)

    def missing(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Nobody takes part without an image."""
        return np.zeros(len(ids), dtype=bool)

    @property
    def n_parameters(self) -> int:
        """Of one network."""
        return self.members.n_parameters


@dataclass(frozen=True)
class Fitted:
    """A fitted configuration: its rule, (n) out-of-fold decisions of the training patients, and further facts."""

    rule: Rule
    oof: Array
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """Whom a configuration is fitted on.

    Parameters
    ----------
    cohort : Cohort
    ids : tuple of str
        (n) training patients.
    y : ndarray
        (n) 0 or 1.
    grade : ndarray
        (n) the score that the label is cut from.
    inner : ndarray
        (n) inner fold, from 1.
    """

    cohort: Cohort
    ids: tuple[str, ...]
    y: Array
    grade: Array
    inner: Array


def unavailable(name: str, section: Section, cohort: Cohort, ids: Sequence[str]) -> str:
    """Return why a configuration cannot be fitted on these patients; nothing where it can."""
    needs = {
        "log_volume": (cohort.volumes_ml, "nobody has a lesion whose volume is known"),
        "territories": (cohort.loads, "nobody's lesion was measured in the regions of an atlas"),
        "maps": (cohort.cells, "nobody's lesion was carried to the template"),
    }
    known, why = needs.get(name.removesuffix(AGE), (None, ""))
    if known is not None and not any(who in known for who in ids):
        return why
    if name.endswith(AGE) and not any("age" in cohort.clinical[who] for who in ids):
        return "nobody's age is known"
    return ""


def fit(
    name: str,
    section: Section,
    data: Training,
    *,
    seed: int,
    threads: int,
    device: Any,
    devices: int,
    folder: Path,
) -> Fitted:
    """Fit one configuration on the training patients.

    Parameters
    ----------
    name : str
        One of `reperfuse.studies.severity.names.alone`.
    section : mapping
        ``studies.severity``.
    data : Training
    seed : int
    threads : int
        Of the forest.
    device, devices, folder
        See `reperfuse.learning.training.train`.

    Raises
    ------
    Refusal
        E170, E171: a training came to a number that is not finite, or memory does not suffice.
    """
    if name in networks(section):
        return _fit_networks(
            name, section, data, seed=seed, device=device, devices=devices, folder=folder
        )  # fmt: skip
    target = np.log1p(data.grade)
    if name == "maps":
        options = {key: float(section["maps"][key]) for key in ("fwhm_mm", "small")}
        options["cell_mm"] = float(section["cell_mm"])
        seen = seen_of(data.cohort, data.ids, options)
        fitting = Fitting(seen, {key: float(section["maps"][key]) for key in ("plain", "mirrored", "volume")})
        rule, oof = _crossed(
            data.inner,
            lambda rows: fitting.fit(rows, target[rows]),
            lambda rule, rows: rule.decision(seen.of(rows)),
        )
        return Fitted(Mapped(options, rule), oof)
    columns = regions(data.cohort, data.ids) if name.startswith("territories") else ()
    values = maker(name, columns)(data.cohort, data.ids).values
    if name.startswith("log_volume"):
        model, oof = _crossed(
            data.inner,
            lambda rows: fit_logistic(values[rows], data.y[rows]),
            lambda model, rows: model.decision(values[rows]),
        )
        return Fitted(Tabled(name, columns, model), oof)
    asked = section["territories"]

    def grown(rows: Array) -> tuple[Filling, Forest]:
        filling = Filling.of(values[rows])
        table = filling.filled(values[rows])
        return filling, fit_forest(
            table, target[rows], n_trees=asked["trees"], min_leaf=asked["min_leaf"],
            features=asked["features"], seed=seed, threads=threads,
        )  # fmt: skip

    forest, oof = _crossed(
        data.inner, grown, lambda both, rows: both[1].predict(both[0].filled(values[rows]))
    )  # fmt: skip
    return Fitted(Tabled(name, columns, forest), oof)


def seen_of(cohort: Cohort, ids: Sequence[str], options: Mapping[str, float]) -> Seen:
    """Return what `maps` sees of some patients."""
    return see(cell_array(cohort, ids), volume_table(cohort, ids).values[:, 0], **options)


def _crossed(
    inner: Array, fit_on: Callable[[Array], Learnt], judge: Callable[[Learnt, Array], Array]
) -> tuple[Learnt, Array]:
    """Return a rule fitted on all rows, and what rules fitted on the other inner folds say of each."""
    oof = np.empty(len(inner))
    for fold in np.unique(inner):
        rows = np.flatnonzero(inner == fold)
        oof[rows] = judge(fit_on(np.flatnonzero(inner != fold)), rows)
    return fit_on(np.arange(len(inner))), oof


def _fit_networks(
    name: str, section: Section, data: Training, *, seed: int, device: Any, devices: int, folder: Path
) -> Fitted:
    found = imaged.fit(
        name, effective(section, variant_of(name)), image_array(data.cohort, data.ids), data.y, data.grade,
        data.inner, channels=section["channels"], seed=seed, device=device, devices=devices, folder=folder,
    )  # fmt: skip
    return Fitted(Networks(name, found), found.oof, {"loss": found.history})
