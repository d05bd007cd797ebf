"""What is known of patients beside images: factors of many variables, single variables, and what is regressed out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

# scikit-learn offers the imputer only to those who ask for what may still change.
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge
from statsmodels.multivariate.factor_rotation import rotate_factors

from reperfuse.evaluation.inputs import Floats
from reperfuse.studies.fusion.represent import NOTHING, chance, n_beyond_chance, upright

Clinical = Mapping[str, Mapping[str, Any]]
Row = dict[str, Any]
SEX = {"F": 0.0, "M": 1.0}
NAMED_BY = 3


@dataclass(frozen=True)
class Factors:
    """Rotated principal components of the variables.

    Parameters
    ----------
    names : tuple of str
        Number of a factor and the variables that load most on it.
    scores : array, shape (n, factors)
        NaN for patients who have none of the variables.
    loadings : array, shape (variables, factors)
    variables : tuple of str
    parallel : tuple of dict
        component, eigenvalue, threshold, kept.
    left_out : tuple of dict
        variable, missing (share), n_levels, why.
    """

    names: tuple[str, ...]
    scores: Floats
    loadings: Floats
    variables: tuple[str, ...]
    parallel: tuple[Row, ...]
    left_out: tuple[Row, ...]


@dataclass(frozen=True)
class Singles:
    """Variables that are tested by themselves.

    Parameters
    ----------
    numbers : mapping
        Variable → (n,) float, NaN where it is not known.
    tables : mapping
        Variable → n levels as text, None where it is not known.
    left_out : tuple of dict
        As in `Factors`.
    """

    numbers: Mapping[str, Floats]
    tables: Mapping[str, Sequence[str | None]]
    left_out: tuple[Row, ...]


def factors(phenotypes: Mapping[str, Any], ids: Sequence[str], clinical: Clinical, *, seed: int) -> Factors:
    """Return the factors of the variables that the section names.

    Variables that too many lack, of one level, or of text are left out. What is missing of the others is imputed by
    chained Bayesian ridge regressions; then come z scores, principal components as far as parallel analysis keeps
    them, varimax after Kaiser's normalisation (Kaiser 1958, doi 10.1007/BF02289233), and scores by regression.

    Parameters
    ----------
    phenotypes : mapping
        ``studies.fusion.phenotypes``.
    ids : sequence of str
    clinical : mapping
        participant_id → variable → value.
    seed : int
        Of parallel analysis.
    """
    columns: dict[str, Floats] = {}
    left_out: list[Row] = []
    for name in named(phenotypes["variables"], clinical):
        values = [clinical.get(who, {}).get(name) for who in ids]
        column = _numbers(values)
        why = "text" if column is None else _unfit(column, phenotypes["max_missing"])
        if column is None or why:
            left_out.append(_left_out(name, values, why))
        else:
            columns[name] = column
    n = len(ids)
    if len(columns) < 2 or n < 3:
        left_out += [
            _left_out(name, list(c), "no other variable to share a factor") for name, c in columns.items()
        ]
        return Factors((), np.empty((n, 0)), np.empty((0, 0)), (), (), tuple(left_out))
    raw = np.column_stack(list(columns.values()))
    z = imputed(raw)
    _, singular, axes = np.linalg.svd(z, full_matrices=False)
    eigenvalues = singular**2 / n
    thresholds = chance(z, draws=phenotypes["draws"], seed=seed)
    kept = n_beyond_chance(eigenvalues, thresholds)
    parallel = tuple(
        {"component": i + 1, "eigenvalue": float(e), "threshold": float(t), "kept": int(i < kept)}
        for i, (e, t) in enumerate(zip(eigenvalues, thresholds, strict=True))
    )
    loadings, weights = _rotated(axes[:kept].T, eigenvalues[:kept])
    scores = z @ weights
    scores[~np.isfinite(raw).any(axis=1)] = np.nan
    variables = tuple(columns)
    names = tuple(_name(i, loadings[:, i], variables, phenotypes["loading"]) for i in range(kept))
    return Factors(names, scores, loadings, variables, parallel, tuple(left_out))


def singles(phenotypes: Mapping[str, Any], ids: Sequence[str], clinical: Clinical) -> Singles:
    """Return the variables of ``single``: of three values and more as numbers, of two or of text as levels.

    Nothing is imputed: each is tested on those who have it.
    """
    numbers: dict[str, Floats] = {}
    tables: dict[str, Sequence[str | None]] = {}
    left_out: list[Row] = []
    for name in phenotypes["single"]:
        values = [clinical.get(who, {}).get(name) for who in ids]
        levels = {value for value in values if value is not None}
        if len(levels) < 2:
            left_out.append(_left_out(name, values, "one level" if levels else "nobody has it"))
        elif len(levels) > 2 and all(isinstance(value, float | int) for value in levels):
            numbers[name] = np.array([np.nan if value is None else float(value) for value in values])
        else:
            tables[name] = [None if value is None else str(value) for value in values]
    return Singles(numbers, tables, tuple(left_out))


def covariates(
    adjust: Sequence[str], ids: Sequence[str], clinical: Clinical, facts: Clinical
) -> tuple[Floats, tuple[str, ...], tuple[Row, ...]]:
    """Return what is regressed out of an embedding: (n, columns), their names, and what is left out.

    Measured facts come before clinical values; volumes (``…_ml``) enter as log(1 + ml), levels as one column each but
    one, and who lacks a value has the others' median (of a level: none of them).
    """
    columns: dict[str, Floats] = {}
    left_out: list[Row] = []
    for name in adjust:
        values = [_first(facts.get(who, {}).get(name), clinical.get(who, {}).get(name)) for who in ids]
        known = sorted({value for value in values if value is not None}, key=str)
        number = _numbers(values)
        if len(known) < 2:
            left_out.append(_left_out(name, values, "one level" if known else "nobody has it"))
        elif number is not None:
            number = np.log1p(np.maximum(number, 0)) if name.endswith("_ml") else number
            columns[name] = np.where(np.isfinite(number), number, np.nanmedian(number))
        else:
            columns |= {
                f"{name} {one}": np.array([value == one for value in values], float) for one in known[1:]
            }
    matrix = np.column_stack(list(columns.values())) if columns else np.empty((len(ids), 0))
    return matrix, tuple(columns), tuple(left_out)


def named(patterns: Sequence[str], clinical: Clinical) -> list[str]:
    """Return the variables that patterns mean, in the order of the patterns and of the alphabet."""
    known = sorted({name for row in clinical.values() for name in row})
    return list(dict.fromkeys(name for pattern in patterns for name in known if fnmatchcase(name, pattern)))


def imputed(raw: Floats) -> Floats:
    """Return z scores (n, variables) without gaps of a matrix with NaN."""
    z = (raw - np.nanmean(raw, axis=0)) / np.nanstd(raw, axis=0)
    if np.isnan(z).any():
        with warnings.catch_warnings():
            # Ten rounds are enough for what then is averaged over variables.
            warnings.simplefilter("ignore", ConvergenceWarning)
            z = IterativeImputer(estimator=BayesianRidge(), max_iter=10, random_state=0).fit_transform(z)
        z = (z - z.mean(axis=0)) / z.std(axis=0)
    return np.asarray(z)


def _rotated(axes: Floats, eigenvalues: Floats) -> tuple[Floats, Floats]:
    """Return loadings and weights of the scores (variables, factors), factors by the variance that they hold.

    Scores by regression, Z R⁻¹ L, are Z V λ^(−½) T where loadings are V λ^½ T.
    """
    loadings = axes * np.sqrt(eigenvalues)
    turn = np.eye(loadings.shape[1])
    if loadings.shape[1] > 1:
        length = np.sqrt((loadings**2).sum(axis=1, keepdims=True))
        _, turn = rotate_factors(loadings / np.maximum(length, NOTHING), "varimax")
    turned = loadings @ turn
    turn = turn[:, np.argsort(-(turned**2).sum(axis=0), kind="stable")]
    sign = np.sign((upright(loadings @ turn) * (loadings @ turn)).sum(axis=0))
    return loadings @ turn * sign, axes / np.sqrt(eigenvalues) @ turn * sign


def _name(place: int, loadings: Floats, variables: Sequence[str], least: float) -> str:
    order = np.argsort(-np.abs(loadings), kind="stable")
    strong = [i for i in order[:NAMED_BY] if abs(loadings[i]) >= least] or [order[0]]
    words = [("−" if loadings[i] < 0 else "") + variables[i] for i in strong]
    return f"{place + 1}: {', '.join(words)}"


def _numbers(values: Sequence[Any]) -> Floats | None:
    """Return values as numbers with NaN, sex as 0 and 1; None for text."""
    found = [SEX.get(value, value) if isinstance(value, str) else value for value in values]
    if any(isinstance(value, str) for value in found):
        return None
    return np.array([np.nan if value is None else float(value) for value in found])


def _unfit(column: Floats, max_missing: float) -> str:
    known = column[np.isfinite(column)]
    if len(known) < len(column) * (1 - max_missing) or not len(known):
        return f"more than {100 * max_missing:g} % lack it"
    return "one level" if np.ptp(known) == 0 else ""


def _left_out(name: str, values: Sequence[Any], why: str) -> Row:
    known = [value for value in values if value is not None and value == value]
    missing = 1 - len(known) / max(len(values), 1)
    return {"variable": name, "missing": missing, "n_levels": len(set(known)), "why": why}


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
