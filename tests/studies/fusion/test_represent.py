from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reperfuse.studies.fusion.represent import (
    chance,
    n_before_elbow,
    n_beyond_chance,
    represent,
    residuals,
    upright,
)
from tests.studies.fusion.made_strata import section

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(120, 3))
CODES = HIDDEN @ RNG.normal(size=(3, 40)) + 0.7 * RNG.normal(size=(120, 40)) + 5


def fitted(codes, **how):
    how = {"scale": "numbers"} | how
    return represent(codes, section(strata=how)["strata"], seed=0)


def test_parallel_analysis_keeps_the_dimensions_that_were_planted():
    assert fitted(CODES, components="parallel").axes.shape == (40, 3)
    assert fitted(RNG.normal(size=(120, 40)), components="parallel").axes.shape[1] <= 2


def test_a_share_and_all():
    spaces = [fitted(CODES, components="share", share=share) for share in (0.5, 0.95, 1.0)]
    kept = [one.axes.shape[1] for one in spaces]
    assert kept[0] < kept[1] < kept[2] == 40
    points = spaces[1].of(CODES)
    whole = fitted(CODES, components="all").of(CODES)
    assert points.var(axis=0).sum() >= 0.95 * whole.var(axis=0).sum()
    assert points[:, :-1].var(axis=0).sum() < 0.95 * whole.var(axis=0).sum()


def test_points_are_the_same_whatever_the_scale_of_a_number():
    scale = RNG.uniform(0.1, 10, size=40)
    np.testing.assert_allclose(
        fitted(CODES, components="share").of(CODES),
        fitted(CODES * scale, components="share").of(CODES * scale),
    )


def test_an_elbow_parts_what_was_planted_from_noise():
    assert fitted(CODES, components="elbow").axes.shape == (40, 3)
    assert fitted(CODES, components="elbow", scale="none").axes.shape == (40, 3)
    assert n_before_elbow(np.array([9.0, 8, 7, 1, 0.9, 0.8, 0.7, 0.2])) == 3
    assert n_before_elbow(np.array([9.0, 1, 0.5])) == 3


def test_the_elbow_is_that_of_the_profile_likelihood():
    spreads = np.sort(RNG.gamma(1, size=25))[::-1]

    def likelihood(q):
        parts = spreads[:q], spreads[q:]
        squares = sum(((part - part.mean()) ** 2).sum() for part in parts)
        sd = np.sqrt(squares / (len(spreads) - 2))
        return sum(stats.norm.logpdf(part, part.mean(), sd).sum() for part in parts)

    assert n_before_elbow(spreads) == 1 + int(np.argmax([likelihood(q) for q in range(1, 25)]))


def test_components_of_the_same_spread():
    points = fitted(CODES, components="elbow", scale="components").of(CODES)
    np.testing.assert_allclose(np.cov(points.T, bias=True), np.eye(3), atol=1e-9)
    raw = fitted(CODES, components="elbow", scale="none").of(CODES)
    assert raw.var(axis=0)[0] > 1.1 * raw.var(axis=0)[2]
    np.testing.assert_allclose(raw / raw.std(axis=0), points)


def test_numbers_that_everybody_shares_do_nothing():
    padded = np.column_stack([CODES, np.full((120, 2), 7.0)])
    space = fitted(padded, components="all")
    assert np.isfinite(space.of(padded)).all() and space.axes.shape[1] == 40
    assert not fitted(np.ones((5, 3)), components="all").of(np.ones((5, 3))).any()


def test_others_are_brought_into_the_same_space():
    space = fitted(CODES, components="parallel")
    np.testing.assert_allclose(space.of(CODES[:7]), space.of(CODES)[:7])


def test_chance_has_as_much_variance_as_the_data():
    z = (CODES - CODES.mean(axis=0)) / CODES.std(axis=0)
    thresholds = chance(z, draws=20, seed=0)
    assert (np.diff(thresholds) <= 0).all()
    assert thresholds.sum() == pytest.approx(40, rel=0.1)
    np.testing.assert_allclose(chance(z[:20], draws=20, seed=0).shape, (20,))


def test_components_after_the_first_that_fails_do_not_count():
    assert n_beyond_chance(np.array([3.0, 1.0, 1.0]), np.array([2.0, 1.5, 0.5])) == 1
    assert n_beyond_chance(np.array([3.0, 2.0]), np.array([2.0, 1.5])) == 2


def test_the_largest_entry_of_an_axis_is_positive():
    turned = upright(np.array([[0.1, -0.2], [-0.9, 0.1]]))
    np.testing.assert_array_equal(turned, [[-0.1, 0.2], [0.9, -0.1]])


def test_residuals_have_nothing_to_do_with_covariates():
    covariates = RNG.normal(size=(120, 2))
    rest = residuals(CODES + covariates @ RNG.normal(size=(2, 40)), covariates)
    both = np.corrcoef(np.column_stack([rest, covariates]), rowvar=False)[:40, 40:]
    assert np.abs(both).max() < 1e-10
    np.testing.assert_allclose(rest.mean(axis=0), 0, atol=1e-10)
