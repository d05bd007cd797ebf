from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.evaluation.discrimination import auc
from reperfuse.evaluation.power import (
    events_per_parameter,
    patients_needed,
    power_of,
    sample_size_note,
    smallest_detectable,
    statement,
)
from reperfuse.evaluation.resampling import corrected_t, naive_t

RILEY = {"nagelkerke": 0.15, "shrinkage": 0.9, "margin": 0.05}


def test_power_of_known_cases() -> None:
    assert power_of(0, 0.04, alpha=0.05) == pytest.approx(0.05)
    assert power_of(2.801585, 1, alpha=0.05) == pytest.approx(0.8, abs=1e-4)
    assert power_of(-0.1, 0.04, alpha=0.05) == power_of(0.1, 0.04, alpha=0.05)


@given(st.floats(0.001, 1), st.floats(0.1, 0.99), st.floats(0.001, 0.09))
def test_smallest_detectable_has_the_power_asked_for(error: float, power: float, alpha: float) -> None:
    least = smallest_detectable(error, power=power, alpha=alpha)
    assert least > 0
    # The normal test also rejects on the wrong side, which adds at most alpha / 2.
    assert power - 1e-9 <= power_of(least, error, alpha=alpha) <= power + alpha / 2


def test_power_is_that_of_a_simulated_test() -> None:
    draws = np.random.default_rng(0).normal(0.06, 0.03, 40000)
    assert np.mean(np.abs(draws / 0.03) > 1.959964) == pytest.approx(
        power_of(0.06, 0.03, alpha=0.05), abs=0.01
    )


def test_statement_gives_every_number_in_one_sentence() -> None:
    text = statement(0.06, 0.04, n=74, n_positive=40, alpha=0.05, power=0.8)
    for part in (
        "+0.060",
        "standard error 0.040",
        "74 patients",
        "40 with",
        "0.112",
        "80 % power",
        "5 % level",
    ):
        assert part in text
    assert text.endswith(".") and text.count(". ") == 0


@pytest.mark.parametrize(("difference", "error"), [(None, None), (0.1, None), (None, 0.1), (0.1, 0.0)])
def test_statement_says_what_could_not_be_estimated(difference: float | None, error: float | None) -> None:
    text = statement(difference, error, n=12, n_positive=6, alpha=0.05, power=0.8)
    assert "could not be estimated" in text and "12 patients" in text


def test_patients_needed_is_the_published_example_of_pmsampsize() -> None:
    # R package pmsampsize, binary outcome: Cox-Snell R² 0.288, 24 parameters, prevalence 0.174.
    largest = 1 - (0.174**0.174 * 0.826**0.826) ** 2
    assert patients_needed(0.174, 24, nagelkerke=0.288 / largest, shrinkage=0.9, margin=0.05) == 662
    # Few parameters: the overall risk decides, 1.96² · 0.25 / 0.05².
    assert patients_needed(0.5, 1, nagelkerke=0.9, shrinkage=0.9, margin=0.05) == 385


def test_sample_size_note_of_the_paper_s_size() -> None:
    assert events_per_parameter(40, 34, 32) == pytest.approx(34 / 32)
    text = sample_size_note(40, 34, 32, minimum=10, **RILEY)
    needed = patients_needed(40 / 74, 32, **RILEY)
    assert "1.1 events per parameter, fewer than the customary 10" in text
    assert f"needs {needed} patients, {needed - 74} more than there are" in text
    large = sample_size_note(2000, 2000, 32, minimum=10, **RILEY)
    assert "customary" not in large and large.endswith("which this study has.")
    assert "one outcome only" in sample_size_note(9, 0, 2, minimum=10, **RILEY)


def test_bad_arguments_are_refused() -> None:
    for error in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="standard_error"):
            power_of(0.1, error, alpha=0.05)
    with pytest.raises(ValueError, match="power is"):
        smallest_detectable(0.1, power=0.01, alpha=0.05)
    with pytest.raises(ValueError, match="alpha"):
        power_of(0.1, 0.1, alpha=5)
    with pytest.raises(ValueError, match="parameters"):
        events_per_parameter(3, 3, 0)


def fold_differences(rng: np.random.Generator, *, gain: bool, n: int = 74, k: int = 8) -> list[float | None]:
    """Cross-validate two linear discriminants on one simulated cohort: J1 volume against J0 volume.

    The cohort is the synthetic one with planted truth: volume, age and NIHSS, large-sample AUC .843 against
    .785. Without gain, two noisy readings of one volume stand in for J0 and J1.
    """
    v0, r = rng.normal(2.3, 1.1, n), rng.random(n) < 0.6
    v1 = v0 + np.where(r, rng.normal(0.1, 0.25, n), rng.normal(0.9, 0.35, n))
    age = rng.normal(70, 12, n)
    nihss = np.clip(np.round(-1 + 2.6 * v0 + rng.normal(0, 3, n)), 0, 42)
    y = rng.random(n) < 1 / (1 + np.exp(-(0.6 - 1.3 * (v1 - 2.7) - 0.05 * (age - 70) - 0.9 * ~r)))
    pair = (v1, v0) if gain else (v1 + rng.normal(0, 0.5, n), v1 + rng.normal(0, 0.5, n))
    order, folds = rng.permutation(n), np.empty(n, dtype=int)
    folds[order[np.argsort(y[order], kind="stable")]] = np.arange(n) % k
    designs = [np.column_stack([np.ones(n), v, age, nihss]) for v in pair]
    found: list[float | None] = []
    for fold in range(k):
        test = folds == fold
        fits = [np.linalg.lstsq(x[~test], y[~test].astype(float), rcond=None)[0] for x in designs]
        first, second = (auc(y[test], x[test] @ b) for x, b in zip(designs, fits, strict=True))
        found.append(None if first is None or second is None else first - second)
    return found


def share_found(*, gain: bool, studies: int) -> tuple[float, float]:
    rng = np.random.default_rng(1)
    naive = fair = 0
    for _ in range(studies):
        differences = fold_differences(rng, gain=gain)
        fair += (corrected_t(differences, test_share=1 / 7, level=0.95).p or 1) < 0.05
        naive += (naive_t(differences, level=0.95).p or 1) < 0.05
    return fair / studies, naive / studies


def test_a_study_of_74_rarely_finds_a_true_gain_and_the_naive_test_says_too_much() -> None:
    fair, naive = share_found(gain=True, studies=300)
    assert fair < 0.2  # a true gain of .06 is missed by most studies of this size
    assert naive > fair + 0.08
    null_fair, null_naive = share_found(gain=False, studies=300)
    assert null_fair <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
    assert null_naive > null_fair
