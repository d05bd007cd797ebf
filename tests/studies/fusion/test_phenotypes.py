from __future__ import annotations

import numpy as np
import pytest

from reperfuse.phantom.scalars import FACTORS, simulate
from reperfuse.studies.fusion import phenotypes
from tests.studies.fusion.made_strata import MEASURES, Made, section

MADE = Made(200)


def factors(clinical, ids=MADE.ids, **changed):
    return phenotypes.factors(section(phenotypes=changed)["phenotypes"], ids, clinical, seed=0)


def test_the_planted_factors_are_found():
    found = factors(MADE.clinical)
    assert len(found.names) == len(FACTORS)
    t = simulate(200, 1)
    truth = np.column_stack([t[f"factor_{name}"] for name in FACTORS])
    related = np.abs(np.corrcoef(truth.T, found.scores.T)[: len(FACTORS), len(FACTORS) :])
    assert (related.max(axis=1) > 0.9).all()
    # Each factor is named by the three measures of one, and each of them once.
    named = [{one.rsplit("_", 1)[0] for one in name.split(": ")[1].split(", ")} for name in found.names]
    assert sorted(*zip(*named, strict=True)) == sorted(FACTORS)


def test_scores_are_standardised_uncorrelated_and_upright():
    found = factors(MADE.clinical)
    np.testing.assert_allclose(np.cov(found.scores.T, bias=True), np.eye(12), atol=1e-8)
    largest = found.loadings[np.abs(found.loadings).argmax(axis=0), range(12)]
    assert (largest > 0).all()
    held = (found.loadings**2).sum(axis=0)
    assert (np.diff(held) <= 1e-9).all()


def test_loadings_are_correlations_of_variables_with_scores():
    found = factors(MADE.clinical)
    raw = np.array([[MADE.clinical[who][name] for name in found.variables] for who in MADE.ids])
    related = np.corrcoef(raw.T, found.scores.T)[: len(found.variables), len(found.variables) :]
    np.testing.assert_allclose(found.loadings, related, atol=1e-8)


def test_varimax_is_that_of_kaiser():
    found = factors(MADE.clinical)
    length = np.sqrt((found.loadings**2).sum(axis=1, keepdims=True))

    def simplicity(loadings):
        squares = (loadings / length) ** 2
        return (squares**2).mean(axis=0).sum() - (squares.mean(axis=0) ** 2).sum()

    best = simplicity(found.loadings)
    rng = np.random.default_rng(0)
    for _ in range(20):
        small = rng.normal(scale=0.02, size=(12, 12))
        turn, _ = np.linalg.qr(np.eye(12) + small - small.T)
        assert simplicity(found.loadings @ turn) < best


def test_what_is_missing_is_imputed_close_to_what_it_was():
    rng = np.random.default_rng(0)
    gaps = {
        who: {k: v for k, v in row.items() if k not in MEASURES or rng.random() > 0.1}
        for who, row in MADE.clinical.items()
    }
    whole, found = factors(MADE.clinical), factors(gaps)
    assert len(found.names) == 12
    related = np.abs(np.corrcoef(whole.scores.T, found.scores.T)[:12, 12:])
    assert (related.max(axis=1) > 0.9).all()


def test_variables_that_say_nothing_are_left_out_and_named():
    clinical = {who: dict(row) for who, row in MADE.clinical.items()}
    for i, who in enumerate(MADE.ids):
        clinical[who] |= {"hospital": "ABC"[i % 3], "constant": 1.0}
        if i % 2:
            del clinical[who]["memory_1"]
    found = factors(clinical, variables=["*_1", "*_2", "*_3", "hospital", "constant", "sex"])
    assert {row["variable"]: row["why"] for row in found.left_out} == {
        "memory_1": "more than 20 % lack it",
        "hospital": "text",
        "constant": "one level",
    }
    assert {row["variable"]: row["n_levels"] for row in found.left_out}["hospital"] == 3
    assert next(row for row in found.left_out if row["variable"] == "memory_1")["missing"] == 0.5
    assert "sex" in found.variables and "memory_1" not in found.variables


def test_somebody_without_any_variable_has_no_score():
    clinical = {**MADE.clinical, MADE.ids[3]: {"age": 70.0}}
    found = factors(clinical)
    assert np.isnan(found.scores[3]).all()
    assert np.isfinite(np.delete(found.scores, 3, axis=0)).all()


@pytest.mark.parametrize("variables", [[], ["nothing_*"], ["memory_1"]])
def test_fewer_than_two_variables_have_no_factors(variables):
    found = factors(MADE.clinical, variables=variables)
    assert found.names == () and found.scores.shape == (200, 0)
    assert [row["variable"] for row in found.left_out] == (variables if variables == ["memory_1"] else [])


def test_singles_are_numbers_or_tables():
    clinical = {
        who: {**row, "diabetes": float(i % 2), "dead": 0.0}
        for i, (who, row) in enumerate(MADE.clinical.items())
    }
    del clinical[MADE.ids[0]]["age"]
    settings = section(phenotypes={"single": ["age", "sex", "diabetes", "dead", "absent"]})["phenotypes"]
    found = phenotypes.singles(settings, MADE.ids, clinical)
    assert list(found.numbers) == ["age"] and np.isnan(found.numbers["age"][0])
    assert list(found.tables) == ["sex", "diabetes"]
    assert [(row["variable"], row["why"]) for row in found.left_out] == [
        ("dead", "one level"),
        ("absent", "nobody has it"),
    ]


def test_covariates_are_numbers_without_gaps():
    clinical = {who: {**row, "site": "ABC"[i % 3]} for i, (who, row) in enumerate(MADE.clinical.items())}
    del clinical[MADE.ids[0]]["age"]
    matrix, names, left_out = phenotypes.covariates(
        ["age", "sex", "site", "lesion_ml", "brain_ml"], MADE.ids, clinical, MADE.facts
    )
    assert names == ("age", "sex", "site B", "site C", "lesion_ml")
    assert matrix.shape == (200, 5) and np.isfinite(matrix).all()
    assert matrix[0, 0] == np.median(matrix[1:, 0])
    assert matrix[5, 4] == pytest.approx(np.log1p(MADE.facts[MADE.ids[5]]["lesion_ml"]))
    assert [row["variable"] for row in left_out] == ["brain_ml"]
