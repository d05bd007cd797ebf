from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.leakage import Audit, Leakage, check_known

PEOPLE = st.frozensets(st.sampled_from([f"sub-{i}" for i in range(12)]))


@given(seen=PEOPLE, predicted=PEOPLE, families=st.lists(st.integers(0, 5), min_size=12, max_size=12))
def test_whoever_shares_a_group_with_a_patient_seen_is_refused(
    seen: frozenset[str], predicted: frozenset[str], families: list[int]
) -> None:
    groups = {f"sub-{i}": f"family-{families[i]}" for i in range(12)}
    audit = Audit(groups)
    overlap = {groups[one] for one in seen} & {groups[one] for one in predicted}
    if overlap:
        with pytest.raises(Leakage, match="E161"):
            audit.check("J0_mri", "scaler", seen, predicted)
        assert audit.rows() == []
    else:
        audit.check("J0_mri", "scaler", seen, predicted)
        (row,) = audit.rows()
        assert row["n_overlap"] == 0 and row["n_seen_min"] == row["n_seen_max"] == len(seen)


def test_the_sentence_names_object_and_patients() -> None:
    with pytest.raises(Leakage) as caught:
        Audit({}).check("J1_mri", "components", {f"sub-{i}" for i in range(9)}, {"sub-8", "sub-3", "sub-99"})
    sentence = str(caught.value)
    assert "components of J1_mri was fitted on 2 of the patients" in sentence and "sub-3, sub-8" in sentence
    assert "sub-99" not in sentence and "\n" not in sentence


def test_a_table_row_counts_fits_and_their_sizes() -> None:
    audit = Audit({})
    for n in (5, 3, 0, 8):
        audit.check("b", "whole pipeline", [f"sub-{i}" for i in range(n)], ["sub-x"])
    audit.check("a", "whole pipeline", ["sub-1"], ["sub-2"])
    audit.check("b", "scaler", ["sub-1"], [])
    assert [tuple(row.values()) for row in audit.rows()] == [
        ("a", "whole pipeline", 1, 1, 1, 0),
        ("b", "scaler", 1, 1, 1, 0),
        ("b", "whole pipeline", 4, 0, 8, 0),
    ]


AVAILABLE = {"age": "J0", "nihss_24h": "J1", "mrs_3m": "none"}


@pytest.mark.parametrize(
    ("variables", "visit", "named"),
    [
        (["age", "nihss_24h"], "J0", "nihss_24h (known at J1)"),
        (["mrs_3m"], "J1", "mrs_3m (known at none)"),
        (["never heard of"], "J1", "never heard of (known at none)"),
    ],
)
def test_what_is_known_later_is_no_predictor(variables: list[str], visit: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_known(variables, visit, AVAILABLE, key="studies.outcome.clinical.J0")
    assert named in str(caught.value) and "`studies.outcome.clinical.J0`" in str(caught.value)
    assert "age" not in str(caught.value).replace("available", "")


def test_what_is_known_is_let_through() -> None:
    check_known(["age"], "J0", AVAILABLE, key="k")
    check_known(["age", "nihss_24h"], "J1", AVAILABLE, key="k")
