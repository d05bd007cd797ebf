from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.cohort.folds import (
    FoldRow,
    assign_folds,
    balance,
    plan_folds,
    read_folds,
    usable_folds,
    write_folds,
)
from reperfuse.core.errors import ConfigError

Candidates = dict[str, tuple[str, str]]


@st.composite
def cohorts(draw: st.DrawFn, pure: bool = False) -> Candidates:
    """Patients with stratum and group; in a pure cohort a group has one stratum."""
    n = draw(st.integers(1, 40))
    groups = draw(st.lists(st.integers(0, 25), min_size=n, max_size=n))
    strata = draw(st.lists(st.sampled_from("01"), min_size=n, max_size=n))
    by_group = dict(zip(groups, strata, strict=True))
    return {
        f"sub-{i}": (by_group[group] if pure else stratum, f"family-{group}")
        for i, (group, stratum) in enumerate(zip(groups, strata, strict=True))
    }


@given(cohort=cohorts(), cut=st.integers(0, 40), n_folds=st.integers(2, 6))
def test_appending_moves_nobody_and_keeps_groups_together(cohort: Candidates, cut: int, n_folds: int) -> None:
    first = dict(list(cohort.items())[:cut])
    before = assign_folds({}, first, n_folds=n_folds, salt="s")
    after = assign_folds(before, cohort, n_folds=n_folds, salt="s")
    assert {name: after[name] for name in before} == before
    assert set(after) == set(cohort) and set(after.values()) <= set(range(1, n_folds + 1))
    folds = defaultdict(set)
    for name, (_, group) in cohort.items():
        folds[group].add(after[name])
    assert all(len(found) == 1 for found in folds.values())


@given(cohort=cohorts(pure=True), n_folds=st.integers(2, 6))
def test_classes_differ_between_folds_by_the_largest_group_at_most(cohort: Candidates, n_folds: int) -> None:
    folds = assign_folds({}, cohort, n_folds=n_folds, salt="s")
    largest = max(Counter(group for _, group in cohort.values()).values())
    for stratum in "01":
        counts = Counter(folds[name] for name, (found, _) in cohort.items() if found == stratum)
        per_fold = [counts[fold] for fold in range(1, n_folds + 1)]
        assert max(per_fold) - min(per_fold) <= largest


@given(cohort=cohorts(), seed=st.integers(0, 99))
def test_the_order_of_the_input_does_not_matter(cohort: Candidates, seed: int) -> None:
    shuffled = list(cohort.items())
    random.Random(seed).shuffle(shuffled)
    assert assign_folds({}, cohort, n_folds=4, salt="s") == assign_folds(
        {}, dict(shuffled), n_folds=4, salt="s"
    )


def singles(**classes: int) -> Candidates:
    return {f"sub-{c}{i}": (c[1:], f"sub-{c}{i}") for c, n in classes.items() for i in range(n)}


def test_folds_are_even_in_class_and_in_size() -> None:
    cohort = singles(c0=45, c1=28)
    rows = plan_folds([], cohort, n_folds=8, salt="s", frozen=False).rows
    table = balance(rows, n_folds=8)
    assert sum(row["n"] for row in table) == 73
    assert {row["n"] for row in table} <= {9, 10}
    assert {row["n_1"] for row in table} <= {3, 4} and {row["n_0"] for row in table} <= {5, 6}


def test_another_salt_gives_other_folds() -> None:
    cohort = singles(c0=20, c1=20)
    assert assign_folds({}, cohort, n_folds=4, salt="a") != assign_folds({}, cohort, n_folds=4, salt="b")


def test_folds_are_the_same_everywhere() -> None:
    cohort = singles(c0=3, c1=3)
    assert assign_folds({}, cohort, n_folds=2, salt="reperfuse") == {
        "sub-c00": 2, "sub-c01": 1, "sub-c02": 1, "sub-c10": 1, "sub-c11": 2, "sub-c12": 2,
    }  # fmt: skip


def test_a_relative_who_comes_later_joins_even_when_the_first_is_no_longer_eligible() -> None:
    first = plan_folds(
        [], singles(c0=6, c1=6) | {"sub-a": ("1", "family-x")}, n_folds=3, salt="s", frozen=False
    )
    fold = next(row.fold for row in first.rows if row.participant_id == "sub-a")
    later = singles(c0=6, c1=6) | {"sub-b": ("0", "family-x")}
    second = plan_folds(first.rows, later, n_folds=3, salt="s", frozen=False)
    places = {row.participant_id: row for row in second.rows}
    assert places["sub-b"].fold == fold == places["sub-a"].fold
    assert second.notices == []


def test_relatives_known_too_late_are_told_and_not_moved() -> None:
    rows = [FoldRow("sub-1", 1, "0", "sub-1"), FoldRow("sub-2", 2, "1", "sub-2")]
    plan = plan_folds(rows, {"sub-1": ("0", "f"), "sub-2": ("1", "f")}, n_folds=2, salt="s", frozen=False)
    assert [row.fold for row in plan.rows] == [1, 2]
    assert len(plan.notices) == 1 and "Group f sits in folds 1, 2" in plan.notices[0]


def test_a_corrected_label_changes_the_stratum_and_not_the_fold() -> None:
    cohort = singles(c0=4, c1=4)
    first = plan_folds([], cohort, n_folds=2, salt="s", frozen=False)
    second = plan_folds(first.rows, cohort | {"sub-c00": ("1", "sub-c00")}, n_folds=2, salt="s", frozen=False)
    assert [row.fold for row in first.rows] == [row.fold for row in second.rows]
    assert second.rows[0].stratum == "1"


def test_a_small_class_reduces_the_folds_once_and_for_all() -> None:
    plan = plan_folds([], singles(c0=20, c1=3), n_folds=8, salt="s", frozen=False)
    assert plan.n_folds == 3 and {row.fold for row in plan.rows} == {1, 2, 3}
    assert plan.notices == [
        "Class 1 has 3 independent patients, fewer than the 8 folds asked for, so 3 folds were made."
    ]
    grown = plan_folds(plan.rows, singles(c0=20, c1=30), n_folds=8, salt="s", frozen=False)
    assert grown.n_folds == 3 and "made with 3 folds, not 8" in grown.notices[0]
    assert all(row["n_1"] == 10 for row in balance(grown.rows, n_folds=3))


@pytest.mark.parametrize(
    ("cohort", "says"),
    [
        (singles(c0=9, c1=1), "Class 1 has 1 independent patient; at least 2"),
        (singles(c0=9), "Every known label is of class 0"),
        ({}, "The cohort has 0 independent patients"),
    ],
)
def test_no_folds_where_there_is_nothing_to_cross_validate(cohort: Candidates, says: str) -> None:
    plan = plan_folds([], cohort, n_folds=5, salt="s", frozen=False)
    assert (plan.rows, plan.n_folds) == ([], 0) and plan.notices[0].startswith(says)


def test_patients_without_known_label_are_no_class() -> None:
    cohort = singles(c0=5, c1=5) | {"sub-x": ("n/a", "sub-x")}
    assert usable_folds(cohort, 5) == (5, [])
    unlabelled = {f"sub-{i}": ("all", f"sub-{i}") for i in range(4)}
    assert usable_folds(unlabelled, 3) == (3, [])
    assert usable_folds(unlabelled, 10)[0] == 4


def test_a_class_within_one_family_counts_once() -> None:
    cohort = singles(c0=9) | {f"sub-f{i}": ("1", "family-1") for i in range(6)}
    assert usable_folds(cohort, 3)[0] == 0


def test_a_frozen_table_is_kept_as_it_is() -> None:
    rows = [FoldRow(f"sub-c0{i}", 1 + i % 2, "0", f"sub-c0{i}") for i in range(4)]
    plan = plan_folds(rows, singles(c0=6), n_folds=8, salt="s", frozen=True)
    assert plan.rows == rows and plan.n_folds == 2
    assert plan.notices == ["2 eligible patients are not in the frozen fold table and take no part."]


def test_a_fold_that_cannot_be_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="fold 5 was assigned, but folds are 1 to 4"):
        assign_folds({"sub-1": 5}, {"sub-1": ("0", "sub-1")}, n_folds=4, salt="s")


def test_tables_are_byte_stable_and_come_back(tmp_path: Path) -> None:
    rows = plan_folds(
        [], singles(c0=5, c1=4) | {"sub-z": ("n/a", "family-Ω")}, n_folds=3, salt="s", frozen=False
    ).rows
    write_folds(tmp_path / "a.tsv", rows)
    write_folds(tmp_path / "b.tsv", reversed(rows))
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()
    assert (tmp_path / "a.tsv").read_text().startswith("participant_id\tfold\tstratum\tgroup\nsub-c00\t")
    assert read_folds(tmp_path / "a.tsv") == rows


@pytest.mark.parametrize(
    "line", ["sub-1\t0\t0\tsub-1", "sub-1\tx\t0\tsub-1", "n/a\t1\t0\tg", "sub-0\t1\t0\tg"]
)
def test_a_damaged_table_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "folds.tsv").write_text(f"participant_id\tfold\tstratum\tgroup\nsub-0\t1\t0\tsub-0\n{line}\n")
    with pytest.raises(ConfigError, match=r"folds\.tsv, line 3"):
        read_folds(tmp_path / "folds.tsv")


def test_a_table_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "image.nii").write_bytes(b"\xff\x00")
    for name in ("gone.tsv", "image.nii"):
        with pytest.raises(ConfigError, match=f"{name} cannot be read"):
            read_folds(tmp_path / name)
