"""What the network is compared with: linear regression, random forest, SVM and SR-KDA on one flat vector.

Each is fitted on (n, k) vectors (`features.vectors`), whose columns it standardises with the training voxels' mean and
SD, and predicts a probability. Where the method gives a decision value instead, Platt's sigmoid of it is fitted on
inner folds that share no patient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self

import numpy as np
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC, LinearSVC

from reperfuse.evaluation.calibration import platt
from reperfuse.studies.transformation.srkda import SpectralRegression, expansion

Array = np.ndarray
Decision = Callable[[Array], Array]
# A slope below this would turn the order round, or lose it.
LEAST_SLOPE = 1e-2


class Baseline(Protocol):
    """A classifier of voxels."""

    def fit(self, x: Array, y: Array, groups: Array | None = None) -> Self:
        """Fit on (n, k) vectors with labels (n,) of 0 and 1; ``groups`` (n,) are the patients, of inner folds."""
        ...

    def predict(self, x: Array) -> Array:
        """Return (n,) probabilities of the positive class."""
        ...


@dataclass(frozen=True)
class Columns:
    """Mean and SD of each column of the training voxels."""

    mean: Array
    sd: Array

    @classmethod
    def of(cls, x: Array) -> Self:
        """Measure them on (n, k); a column that does not vary is not divided."""
        sd = x.std(axis=0, dtype=np.float64)
        return cls(x.mean(axis=0, dtype=np.float64), np.where(sd > 0, sd, 1.0))

    def __call__(self, x: Array) -> Array:
        """Return (n, k) z-scores, float32."""
        return np.asarray((x - self.mean) / self.sd, dtype=np.float32)


@dataclass
class _Decided:
    """Standardise, decide, calibrate: what all have in common that do not give probabilities themselves."""

    calibration_folds: int
    seed: int
    _columns: Columns = field(init=False, repr=False)
    _decision: Decision = field(init=False, repr=False)
    _sigmoid: tuple[float, float] = field(init=False, repr=False)

    def _rule(self, z: Array, y: Array) -> Decision:
        raise NotImplementedError

    def fit(self, x: Array, y: Array, groups: Array | None = None) -> Self:
        """Fit; the sigmoid on decisions about patients, or voxels without ``groups``, that were left out.

        Raises
        ------
        ValueError
            If one class is absent.
        """
        _both(y)
        self._columns = Columns.of(x)
        z = self._columns(x)
        folds = _inner_folds(y, groups, self.calibration_folds, self.seed)
        decision = np.zeros(len(y))
        for train, test in folds:
            decision[test] = self._rule(z[train], y[train])(z[test])
        self._decision = self._rule(z, y)
        if not folds:  # too few patients: the model's own decisions, which are too sure, but keep the order
            decision = self._decision(z)
        slope, offset = platt(decision, y)
        self._sigmoid = (slope, offset) if slope > LEAST_SLOPE else (LEAST_SLOPE, _logit(float(np.mean(y))))
        return self

    def predict(self, x: Array) -> Array:
        """Return (n,) probabilities."""
        slope, offset = self._sigmoid
        return np.asarray(expit(slope * self._decision(self._columns(x)) + offset))


@dataclass
class Linear(_Decided):
    """Least squares on 0 and 1."""

    def _rule(self, z: Array, y: Array) -> Decision:
        line = LinearRegression().fit(z, y.astype(np.float32))
        return lambda shown: np.asarray(line.predict(shown), dtype=np.float64)


@dataclass
class Svm(_Decided):
    """Support vector machine with the kernel exp(−γd²).

    Parameters
    ----------
    c : float
        Cost of a voxel on the wrong side.
    gamma : float
        γ times the number of columns; 1 is scikit-learn's "scale".
    exact_up_to : int
        Samples above which Nyström's approximation and a linear machine stand in.
    components : int
        Of Nyström's approximation.
    """

    c: float = field(kw_only=True)
    gamma: float = field(kw_only=True)
    exact_up_to: int = field(kw_only=True)
    components: int = field(kw_only=True)

    def _rule(self, z: Array, y: Array) -> Decision:
        gamma = self.gamma / z.shape[1]
        if len(z) <= self.exact_up_to:
            machine = SVC(C=self.c, gamma=gamma, cache_size=1000).fit(z, y)
            support = np.asarray(machine.support_vectors_, dtype=np.float64)
            weights, offset = machine.dual_coef_[0], float(machine.intercept_[0])
            return lambda shown: expansion(shown, support, weights, gamma) + offset
        few = min(self.components, len(z))
        mapped = Nystroem(gamma=gamma, n_components=few, random_state=self.seed).fit(z)
        line = LinearSVC(C=self.c, dual=False).fit(mapped.transform(z), y)
        return lambda shown: np.asarray(line.decision_function(mapped.transform(shown)))


@dataclass
class Srkda(_Decided):
    """Spectral-regression kernel discriminant analysis; parameters as of `SpectralRegression`."""

    alpha: float = field(kw_only=True)
    width: float = field(kw_only=True)
    width_samples: int = field(kw_only=True)
    landmarks: int = field(kw_only=True)

    def _rule(self, z: Array, y: Array) -> Decision:
        names = (one.name for one in fields(SpectralRegression) if one.init)
        return SpectralRegression(**{name: getattr(self, name) for name in names}).fit(z, y).decision


@dataclass
class Forest:
    """Random forest; its probability is the mean of the trees' leaves.

    Parameters
    ----------
    trees : int
    max_features : str or float
        Columns that a split may choose from, as scikit-learn has it: "sqrt" or a share.
    min_leaf : int
        Voxels of a leaf at least.
    seed : int
    threads : int
        Of which the result does not depend.
    """

    trees: int
    max_features: str | float
    min_leaf: int
    seed: int
    threads: int
    _forest: RandomForestClassifier = field(init=False, repr=False)

    def fit(self, x: Array, y: Array, groups: Array | None = None) -> Self:
        """Fit; ``groups`` are not needed. Trees do not mind scales, so nothing is standardised."""
        _both(y)
        self._forest = RandomForestClassifier(
            self.trees,
            max_features=self.max_features,
            min_samples_leaf=self.min_leaf,
            random_state=self.seed,
            n_jobs=self.threads,
        ).fit(x, y)
        return self

    def predict(self, x: Array) -> Array:
        """Return (n,) probabilities."""
        return np.asarray(self._forest.predict_proba(x)[:, 1])


KINDS: dict[str, type[Any]] = {"linear": Linear, "forest": Forest, "svm": Svm, "srkda": Srkda}


def make(name: str, params: Mapping[str, Any], seed: int, threads: int = 1) -> Baseline:
    """Return a baseline that is not fitted yet.

    Parameters
    ----------
    name : {"linear", "forest", "svm", "srkda"}
    params : mapping
        Exactly the parameters of its class, but for ``seed`` and ``threads``.
    seed : int
    threads : int
        Of the forest. The others take what their libraries are given.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If a parameter is missing or unknown.
    """
    if name not in KINDS:
        raise ValueError(f"baseline is {name!r}; expected one of {', '.join(KINDS)}")
    more = {"threads": threads} if name == "forest" else {}
    made: Baseline = KINDS[name](**params, seed=seed, **more)
    return made


def _both(y: Array) -> None:
    if set(np.unique(y).tolist()) != {0, 1}:
        raise ValueError(f"labels are {np.unique(y).tolist()}; expected 0 and 1, both")


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _inner_folds(y: Array, groups: Array | None, n: int, seed: int) -> list[tuple[Array, Array]]:
    """Return training and left-out rows of each fold, whole groups together; none where a class is too small."""
    of = np.arange(len(y)) if groups is None else np.asarray(groups)
    n = min(n, *(len(np.unique(of[y == label])) for label in (0, 1)))
    if n < 2:
        return []
    found = list(StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(y, y, of))
    return found if all(len(np.unique(y[train])) == 2 for train, _ in found) else []
