"""What a study of this size could have found, in numbers and in a sentence."""

from __future__ import annotations

import math

from scipy import stats

from reperfuse.evaluation.inputs import unit_interval


def power_of(difference: float, standard_error: float, *, alpha: float) -> float:
    """Return the power of a two-sided normal test for a true difference.

    Parameters
    ----------
    difference : float
        True difference.
    standard_error : float
        Of the estimated difference; larger than 0.
    alpha : float
        Level of significance.

    Raises
    ------
    ValueError
        When ``standard_error`` is not a positive number or ``alpha`` not between 0 and 1.
    """
    ratio, critical = abs(difference) / _positive(standard_error), _critical(alpha)
    return float(stats.norm.sf(critical - ratio) + stats.norm.cdf(-critical - ratio))


def smallest_detectable(standard_error: float, *, power: float, alpha: float) -> float:
    """Return the true difference that a two-sided normal test finds with this power.

    (z(1 − α/2) + z(power)) · standard error: a significant difference on the wrong side is not counted.

    Raises
    ------
    ValueError
        As `power_of`, or when ``power`` is not between ``alpha`` and 1.
    """
    if not alpha < power < 1:
        raise ValueError(f"power is {power}; expected a number between alpha ({alpha}) and 1.")
    return (_critical(alpha) + float(stats.norm.ppf(power))) * _positive(standard_error)


def statement(
    difference: float | None,
    standard_error: float | None,
    *,
    n: int,
    n_positive: int,
    alpha: float,
    power: float,
) -> str:
    """Return one sentence for readers: the difference of AUC found, and which one ``n`` patients could show.

    Parameters
    ----------
    difference, standard_error : float or None
        Difference of AUC found and its standard error; None (or a standard error of 0) where not estimable.
    n, n_positive : int
        Patients, and those with the outcome.
    alpha, power : float
        Two-sided level of significance, and power.
    """
    people = f"{n} patients ({n_positive} with the outcome)"
    if difference is None or standard_error is None or not standard_error > 0:
        return f"With {people} the difference of AUC or its standard error could not be estimated."
    least = smallest_detectable(standard_error, power=power, alpha=alpha)
    return (
        f"The AUC differed by {difference:+.3f} (standard error {standard_error:.3f}); with {people}, "
        f"only a true difference of {least:.3f} or more would be found with {_percent(power)} power "
        f"(two-sided test at the {_percent(alpha)} level), and a smaller one would often be missed."
    )


def events_per_parameter(n_positive: int, n_negative: int, n_parameters: int) -> float:
    """Return patients of the rarer outcome per candidate parameter.

    Raises
    ------
    ValueError
        When ``n_parameters`` is less than 1 or a number of patients negative.
    """
    if n_parameters < 1 or min(n_positive, n_negative) < 0:
        raise ValueError(
            f"{n_positive} and {n_negative} patients, {n_parameters} parameters; "
            "expected numbers of 0 or more, and at least 1 parameter."
        )
    return min(n_positive, n_negative) / n_parameters


def patients_needed(
    prevalence: float, n_parameters: int, *, nagelkerke: float, shrinkage: float, margin: float
) -> int:
    """Return the patients needed to develop a model of a binary outcome.

    The largest of three numbers (Riley et al. 2020, doi 10.1136/bmj.m441): overall risk within ``margin`` at
    95 %, expected shrinkage of at least ``shrinkage``, optimism of Nagelkerke's R² of at most 0.05.

    Parameters
    ----------
    prevalence : float
        Share of patients with the outcome.
    n_parameters : int
        Candidate parameters.
    nagelkerke : float
        Share of the largest possible R² that the model is expected to explain; 0.15 where nothing is known.
    shrinkage : float
        Expected uniform shrinkage; 0.9 is usual.
    margin : float
        Half-width for the overall risk; 0.05 is usual.
    """
    share = unit_interval(prevalence, name="prevalence")
    explained = unit_interval(nagelkerke, name="nagelkerke")
    log_null = share * math.log(share) + (1 - share) * math.log(1 - share)
    largest = 1 - math.exp(2 * log_null)
    expected = explained * largest
    # Criterion 2 of the paper, written as a shrinkage.
    optimism = expected / (expected + 0.05 * largest)
    wanted = max(unit_interval(shrinkage, name="shrinkage"), optimism)
    by_fit = n_parameters / ((wanted - 1) * math.log(1 - expected / wanted))
    by_risk = (1.96 / unit_interval(margin, name="margin")) ** 2 * share * (1 - share)
    return math.ceil(max(by_fit, by_risk))


def sample_size_note(
    n_positive: int,
    n_negative: int,
    n_parameters: int,
    *,
    minimum: float,
    nagelkerke: float,
    shrinkage: float,
    margin: float,
) -> str:
    """Return a sentence on the sample: events per parameter, and the patients needed (`patients_needed`).

    Parameters
    ----------
    n_positive, n_negative : int
        Patients with and without the outcome.
    n_parameters : int
        Candidate parameters: components, volumes and clinical variables.
    minimum : float
        Events per parameter below which the note says so; 10 is the customary rule.
    nagelkerke, shrinkage, margin : float
        As for `patients_needed`.
    """
    n, per_parameter = n_positive + n_negative, events_per_parameter(n_positive, n_negative, n_parameters)
    found = (
        f"{n} patients, {min(n_positive, n_negative)} of the rarer outcome, and {n_parameters} candidate "
        f"parameters give {per_parameter:.1f} events per parameter"
    )
    if per_parameter < minimum:
        found += f", fewer than the customary {minimum:g}"
    if not (n_positive and n_negative):
        return f"{found}; with one outcome only, no model can be developed."
    needed = patients_needed(
        n_positive / n, n_parameters, nagelkerke=nagelkerke, shrinkage=shrinkage, margin=margin
    )
    judged = "which this study has" if n >= needed else f"{needed - n} more than there are"
    return (
        f"{found}; by the criteria of Riley et al. (2020) a logistic model with as many parameters that "
        f"explains {_percent(nagelkerke)} of what can be explained needs {needed} patients, {judged}."
    )


def _positive(standard_error: float) -> float:
    if not (math.isfinite(standard_error) and standard_error > 0):
        raise ValueError(f"standard_error is {standard_error}; expected a positive number.")
    return standard_error


def _critical(alpha: float) -> float:
    return float(stats.norm.isf(unit_interval(alpha, name="alpha") / 2))


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
