from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.tripod import (
    COLUMNS,
    FROM_RUN,
    OPEN,
    RESOURCE_COLUMNS,
    Item,
    fact_names,
    fill,
    read_items,
)

TABLE = Path(__file__).resolve().parents[2] / "resources/tripod_ai.tsv"
ITEMS = read_items(TABLE)


def number(item: str) -> int:
    return int(item.rstrip("abcdefg"))


def test_the_checklist_has_27_items_and_52_with_sub_items_in_order() -> None:
    numbers = [number(item.item) for item in ITEMS]
    assert len(ITEMS) == 52
    assert sorted(set(numbers)) == list(range(1, 28))
    assert numbers == sorted(numbers)
    letters = {
        n: "".join(i.item.lstrip("0123456789") for i in ITEMS if number(i.item) == n) for n in set(numbers)
    }
    assert {n: found for n, found in letters.items() if found} == {
        3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef",
        20: "abc", 23: "ab", 27: "abc",
    }  # fmt: skip


def test_sections_are_those_of_the_statement() -> None:
    spans = {
        s: [number(i.item) for i in ITEMS if i.section == s] for s in dict.fromkeys(i.section for i in ITEMS)
    }
    assert {section: (min(n), max(n)) for section, n in spans.items()} == {
        "Title": (1, 1),
        "Abstract": (2, 2),
        "Introduction": (3, 4),
        "Methods": (5, 17),
        "Open science": (18, 18),
        "Patient and public involvement": (19, 19),
        "Results": (20, 24),
        "Discussion": (25, 27),
    }


def test_items_of_development_or_evaluation_alone() -> None:
    assert Counter(item.applies for item in ITEMS) == {"D;E": 40, "D": 8, "E": 4}
    assert {item.item for item in ITEMS if item.applies == "E"} == {"12f", "12g", "20c", "24"}


def test_what_only_authors_know_is_never_filled_by_a_run() -> None:
    by_number = {item.item: item for item in ITEMS}
    for item in ("3c", "8b", "8c", "17", "18a", "18b", "18d", "19", "25"):
        assert by_number[item].fills == ""
    assert all(item.question for item in ITEMS)


def test_without_facts_everything_is_left_to_the_authors() -> None:
    rows = fill(ITEMS, {})
    assert {row["status"] for row in rows} == {OPEN}
    assert [row["item"] for row in rows] == [item.item for item in ITEMS]
    assert all(tuple(row) == COLUMNS and row["text"].startswith("To say: ") for row in rows)


def test_a_fact_fills_its_item_and_what_is_left_is_named() -> None:
    rows = {
        row["item"]: row for row in fill(ITEMS, {"sample_size": "74 patients.", "missing_data": "Median."})
    }
    assert rows["11"]["text"] == "Median."
    assert rows["10"]["text"] == "74 patients. To add: why it was taken to be enough."
    assert Counter(row["status"] for row in rows.values()) == {FROM_RUN: 2, OPEN: 50}


def test_an_unknown_fact_is_refused_and_an_empty_one_is_none() -> None:
    with pytest.raises(ValueError, match="sample_sise fills no item"):
        fill(ITEMS, {"sample_sise": "74"})
    assert {row["status"] for row in fill(ITEMS, {"sample_size": "  "})} == {OPEN}


@given(st.sets(st.sampled_from(fact_names(ITEMS))))
def test_as_many_items_are_filled_as_there_are_facts(names: set[str]) -> None:
    rows = fill(ITEMS, dict.fromkeys(names, "A fact."))
    assert sum(row["status"] == FROM_RUN for row in rows) == len(names)


def test_a_broken_table_is_refused(tmp_path: Path) -> None:
    text = TABLE.read_text(encoding="utf-8")
    (tmp_path / "a.tsv").write_text(text + text.splitlines()[-1] + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="item 27c more than once"):
        read_items(tmp_path / "a.tsv")
    (tmp_path / "b.tsv").write_text("item\tsection\n1\tTitle\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="must have the columns"):
        read_items(tmp_path / "b.tsv")
    assert set(Item.__dataclass_fields__) == set(RESOURCE_COLUMNS)
