from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from reperfuse.studies.severity.classical import fit_logistic
from reperfuse.studies.severity.features import (
    Filling,
    maker,
    regions,
    territory_table,
    volume_table,
)
from tests.studies.severity.made_cohorts import REGIONS, made_cohort, small_section


def test_volumes_and_loads_are_logs_and_the_whole_lesion_comes_first() -> None:
    found = made_cohort(small_section(), 12)
    who = "sub-003"
    assert volume_table(found, [who]).values[0, 0] == pytest.approx(np.log1p(found.volumes_ml[who]))
    assert regions(found, found.ids) == REGIONS
    table = territory_table(found, [who], (*REGIONS, "elsewhere"))
    assert table.columns == ("log1p lesion (ml)", *REGIONS, "elsewhere")
    expected = [np.log1p(10 * found.loads[who][name]) for name in REGIONS]
    assert table.values[0, 1:].tolist() == pytest.approx([*expected, 0.0])
    with_age = maker("territories+age", REGIONS)(found, [who])
    assert with_age.columns[-1] == "age" and with_age.values[0, -1] == found.clinical[who]["age"]


def test_what_is_missing_becomes_the_mean_of_the_training_patients() -> None:
    values = np.array([[1.0, np.nan, 5.0], [3.0, 2.0, 5.0], [np.nan, 4.0, 5.0]])
    found = Filling.of(values)
    assert found.fill.tolist() == [2.0, 3.0, 5.0]
    assert found(values)[2].tolist()[0] == 0 and found(values)[:, 2].tolist() == [0, 0, 0]
    assert Filling.of(np.full((3, 1), np.nan))(np.array([[7.0]])).tolist() == [[0.0]]
    assert found.filled(np.array([[np.nan, 1.0, np.nan]])).tolist() == [[2.0, 1.0, 5.0]]


def test_logistic_regression_is_scikit_learn_s_on_standardised_columns() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(3, 10, size=(50, 2))
    y = (values[:, 0] + rng.normal(0, 5, 50) > 3).astype(int)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    model = LogisticRegression(C=1.0, tol=1e-10).fit(scaled, y)
    found = fit_logistic(values, y)
    np.testing.assert_allclose(found.decision(values), model.decision_function(scaled), atol=1e-5)
