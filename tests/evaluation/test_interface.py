from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.interface import COLUMNS, Model, Prediction, System
from tests.evaluation.systems import Honest

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789+", min_size=1, max_size=8)


@given(
    who=NAMES,
    repeat=st.none() | st.integers(1, 99),
    fold=st.none() | st.integers(1, 12),
    y_true=st.none() | st.integers(0, 1),
    y_score=st.floats(0, 1),
)
def test_a_prediction_comes_back_from_its_row(
    who: str, repeat: int | None, fold: int | None, y_true: int | None, y_score: float
) -> None:
    made = Prediction(f"sub-{who}", "ses-01", "mrs_3m<=1", "J0_mri", "cv", repeat, fold, y_true, y_score)
    text = {
        key: "" if value is None else str(value) for key, value in vars(made).items()
    }  # as read_table gives it
    assert Prediction.of(text) == made


def test_predictions_survive_the_table(tmp_path: Path) -> None:
    rows = [
        Prediction("sub-1", "", "mrs_3m<=1", "J0+J1_mri[c=0.01]", "cv", 2, 3, 0, 0.125),
        Prediction("sub-2", "ses-02", "mrs_3m<=1", "thrive", "external:b", None, None, None, 1.0),
    ]
    write_table(tmp_path / "predictions.tsv", map(vars, rows), COLUMNS)
    assert [Prediction.of(row) for row in read_table(tmp_path / "predictions.tsv")] == rows


def test_the_columns_are_those_of_the_table() -> None:
    assert COLUMNS == (
        "participant_id", "session_id", "target", "configuration", "split", "repeat", "fold", "y_true", "y_score",
    )  # fmt: skip


def test_a_row_that_is_no_prediction_is_not_taken_for_one() -> None:
    whole = dict.fromkeys(COLUMNS, "1") | {"y_score": "0.5"}
    for change in ({"y_score": ""}, {"y_true": "yes"}, {"fold": "1.5"}):
        with pytest.raises(ValueError, match=r"could not convert|invalid literal"):
            Prediction.of(whole | change)


def test_what_studies_offer_has_the_form_that_is_asked_for() -> None:
    system: System = Honest()
    model: Model = system.fit(["a", "b"], np.array([0, 1]), seed=1)
    assert model.seen == {"a", "b"} and model.predict(["a"]).shape == (1,)
