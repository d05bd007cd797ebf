from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.participants import cohort_of, inside, outside

NAMES = st.text("0123456789abcXYZ", min_size=1, max_size=6)
LABELS = st.text("0123456789abcXYZ+", min_size=1, max_size=8)


def test_the_inside_name_says_which_cohort() -> None:
    assert inside("sub-007", "test") == "sub-test+007"
    assert inside("", "test") == ""


@given(LABELS, NAMES, st.sets(NAMES))
def test_names_come_back_and_tell_their_cohort(label: str, name: str, others: set[str]) -> None:
    patient = inside(f"sub-{label}", name)
    assert outside(patient, name) == f"sub-{label}"
    assert cohort_of(patient, others | {name}) == name


def test_a_plus_alone_makes_no_external_patient() -> None:
    assert (
        cohort_of("sub-a+b", {"test"})
        == cohort_of("sub-test", {"test"})
        == cohort_of("cohort", {"cohort"})
        == ""
    )
    assert outside("sub-tests+1", "test") == "sub-tests+1"
