"""What a prediction of a favourable outcome says about the whole grade (mRS 0 to 6), not one cut of it."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import logit
from scipy.stats import norm
from statsmodels.miscmodels.ordinal_model import OrderedModel

from reperfuse.evaluation.calibration import CLIP
from reperfuse.evaluation.discrimination import auc, auc_interval
from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.inputs import ArrayLike, Floats, Labels, probabilities_of, scores_of, unit_interval

# A log odds ratio or a standard error beyond this (an odds ratio of a million) marks grades that are all but
# in perfect order, where the likelihood is flat and the place where the optimiser rests says nothing.
LIMIT = np.log(1e6)


def shift_odds_ratio(grade: ArrayLike, probability: ArrayLike, *, level: float) -> Estimate:
    """Return the common odds ratio of a better (lower) grade per SD of the predicted log-odds.

    Parameters
    ----------
    grade
        Ordinal grades, shape (n,): whole numbers from 0 (best).
    probability
        Predicted probabilities of a favourable outcome, shape (n,); clipped to [1e-6, 1 - 1e-6].
    level
        Confidence level (Wald, on the log scale).

    Returns
    -------
    Estimate
        Proportional-odds model; above 1 where patients with better predictions have lower grades.
        ``interval`` is ``wald_log``. None, with ``none``, where the model has no finite maximum: fewer than
        two grades, constant probabilities, or grades in perfect order of the probabilities, or so
        nearly that the odds ratio, or one standard error of it, passes a million.

    Raises
    ------
    ValueError
        When a shape is wrong, a grade is not a whole number from 0, a probability is not within 0 to 1, or
        ``level`` is not between 0 and 1.

    Notes
    -----
    McCullagh, JRSS B 42:109 (1980): logit P(grade <= k) = threshold_k + log(OR) x, x in SDs (n - 1).
    """
    level = unit_interval(level, name="level")
    grades = _grades_of(grade)
    x = logit(np.clip(probabilities_of(probability, n=grades.size), CLIP, 1 - CLIP))
    nothing = Estimate(None, None, None, "none")
    if not _overlap(grades, x):
        return nothing
    found = _slope(np.unique(grades, return_inverse=True)[1], (x - x.mean()) / x.std(ddof=1))
    if found is None:
        return nothing
    slope, error = found
    reach = norm.ppf((1 + level) / 2) * error
    # statsmodels models P(grade <= k) with threshold - slope x: a better prediction has a negative slope.
    value, low, high = (float(np.exp(-slope + side * reach)) for side in (0, -1, 1))
    return Estimate(value, low, high, "wald_log")


def concordance(grade: ArrayLike, score: ArrayLike) -> float | None:
    """Return the share of pairs of different grades in which the better (lower) grade has the higher score.

    Parameters
    ----------
    grade
        Ordinal grades, shape (n,): whole numbers from 0 (best).
    score
        Scores that rise with a favourable outcome, shape (n,); equal scores count half.

    Returns
    -------
    float or None
        0.5 is chance; with two grades, the AUC. None when all grades are the same.

    Raises
    ------
    ValueError
        When a shape is wrong, a grade is not a whole number from 0, or a score is not finite.

    Notes
    -----
    Harrell's generalised c-index without censoring, as one AUC per grade against all worse ones.
    """
    grades = _grades_of(grade)
    values = scores_of(score, n=grades.size)
    concordant = 0.0
    pairs = 0
    for best in np.unique(grades)[:-1]:
        among = grades >= best
        better = (grades[among] == best).astype(np.int64)
        area = auc(better, values[among])
        here = int(better.sum() * (better.size - better.sum()))
        concordant += (area or 0.0) * here
        pairs += here
    return concordant / pairs if pairs else None


def auc_by_cut(
    grade: ArrayLike, probability: ArrayLike, *, level: float = 0.95
) -> list[dict[str, float | int | str | None]]:
    """Return the AUC for every cut of the grade, so that one sees whether a result hangs on the cut.

    Parameters
    ----------
    grade
        Ordinal grades, shape (n,): whole numbers from 0 (best).
    probability
        Predicted probabilities of a favourable outcome, shape (n,).
    level
        Confidence level (DeLong, see `auc_interval`).

    Returns
    -------
    list of dict
        ``cut`` (favourable means grade <= cut), ``auc``, ``ci_low``, ``ci_high``, ``interval``, ``n``,
        ``n_positive``; one row for each cut that has both classes.

    Raises
    ------
    ValueError
        As for `shift_odds_ratio`.
    """
    grades = _grades_of(grade)
    values = probabilities_of(probability, n=grades.size)
    rows: list[dict[str, float | int | str | None]] = []
    for cut in range(int(grades.min(initial=0)), int(grades.max(initial=0))):
        favourable = (grades <= cut).astype(np.int64)
        if not 0 < favourable.sum() < grades.size:
            continue
        found = auc_interval(favourable, values, level=level)
        sizes = {"n": grades.size, "n_positive": int(favourable.sum())}
        limits = {"ci_low": found.low, "ci_high": found.high, "interval": found.interval}
        rows.append({"cut": cut, "auc": found.value, **limits, **sizes})
    return rows


def _grades_of(grade: ArrayLike) -> Labels:
    values = np.asarray(grade)
    if values.ndim != 1:
        raise ValueError(f"grade has shape {values.shape}; expected one grade per patient, shape (n,).")
    values = scores_of(values, n=values.size, name="grade")
    odd = values[(values < 0) | (values != np.round(values))]
    if odd.size:
        raise ValueError(f"grade holds {odd[0]:g}; expected whole numbers from 0.")
    return values.astype(np.int64)


def _overlap(grades: Labels, x: Floats) -> bool:
    """Say whether some pair of different grades is in order of x and some other against it."""
    with_order = against = False
    for grade in np.unique(grades)[1:]:
        lower, here = x[grades < grade], x[grades == grade]
        with_order |= bool(lower.max() > here.min())
        against |= bool(lower.min() < here.max())
    return with_order and against


def _slope(codes: Labels, x: Floats) -> tuple[float, float] | None:
    """Return the slope of the proportional-odds model and its standard error, or None without convergence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = OrderedModel(codes, x[:, None], distr="logit")
        for method in ("newton", "bfgs"):
            try:
                fit = model.fit(method=method, disp=False, maxiter=500)
                slope, error = float(fit.params[0]), float(fit.bse[0])
            except (np.linalg.LinAlgError, ValueError, FloatingPointError):
                continue
            if fit.mle_retvals["converged"] and abs(slope) < LIMIT and 0 < error < LIMIT:
                return slope, error
    return None
