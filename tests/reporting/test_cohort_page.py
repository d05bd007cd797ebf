from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from page_samples import cohort, records

from reperfuse.cohort.flow import Stage
from reperfuse.core.tables import read_table
from reperfuse.reporting.cohort_page import CohortView, cohort_page, qc_rows
from reperfuse.reporting.pages import RESEARCH_USE, Section, number
from reperfuse.reporting.plots import Point, lesion_plot


def _with_pages(view: CohortView, root: Path) -> Path:
    for who in view.pages:
        (root / f"{who}.html").write_text("", encoding="utf-8")
    return cohort_page(view, root)[-1]


def test_links_resolve_and_stay_in_the_folder(tmp_path: Path, broken_links, parse) -> None:
    page = _with_pages(cohort(20, 3), tmp_path)
    assert broken_links(page) == []
    found = parse(page)
    assert not any("http" in link for link in found.links)
    assert len(found.ids) == len(set(found.ids))


def test_each_dot_leads_to_its_patient(tmp_path: Path, parse) -> None:
    view = cohort(5, 0)
    links = parse(_with_pages(view, tmp_path)).links
    values = len(view.lesions) + sum(key not in ("participant_id", "lane") for row in view.qc for key in row)
    in_tables = 2 * 5
    assert sum(link.startswith("sub-") for link in links) == values + in_tables


def test_research_use_stands_at_both_ends(tmp_path: Path, parse) -> None:
    assert parse(cohort_page(cohort(2, 1), tmp_path)[-1]).text.count(RESEARCH_USE) == 2


@pytest.mark.parametrize(
    "expected", ["readable", "3: empty file (E101)", "snakemake report", "Left out because"]
)
def test_it_says_what_the_tables_say(tmp_path: Path, parse, expected: str) -> None:
    assert expected in parse(cohort_page(cohort(4, 3), tmp_path)[-1]).text


def test_nobody_usable_among_many(tmp_path: Path, parse) -> None:
    view = cohort(0, 1715)
    page = _with_pages(view, tmp_path)
    assert page.stat().st_size < 2_000_000
    text = parse(page).text
    assert "No lesion volume has been measured" in text
    assert "datalad get sub-1714" in text
    assert len(read_table(tmp_path / "tables" / "excluded.tsv")) == 1715


def test_more_rows_than_a_page_holds_are_left_to_the_file(tmp_path: Path, parse) -> None:
    view = cohort(0, 3)
    view = replace(view, excluded=[dict(view.excluded[0]) for _ in range(6000)])
    page = _with_pages(view, tmp_path)
    assert page.stat().st_size < 3_000_000
    assert "The first 2500 of 6000 entries" in parse(page).text
    assert len(read_table(tmp_path / "tables" / "excluded.tsv")) == 6000


def test_a_large_cohort_fits(tmp_path: Path) -> None:
    page = cohort_page(cohort(1100, 6), tmp_path)[-1]
    assert page.stat().st_size < 10_000_000


def test_nothing_at_all(tmp_path: Path, parse, broken_links) -> None:
    page = cohort_page(CohortView(), tmp_path)[-1]
    assert "There is no patient" in parse(page).text
    assert broken_links(page) == []


def test_the_same_view_gives_the_same_bytes(tmp_path: Path) -> None:
    one = cohort_page(cohort(12, 2), tmp_path / "one")
    two = cohort_page(cohort(12, 2), tmp_path / "two")
    assert [a.read_bytes() for a in one] == [b.read_bytes() for b in two]
    assert len(one) > 4


def test_content_is_inert(tmp_path: Path, parse) -> None:
    evil = '"><script>alert(1)</script>'
    view = replace(
        cohort(3, 1),
        participants=[{"participant_id": "sub-0000", evil: evil}, {"participant_id": evil, "age": "1"}],
        lesions=[{"participant_id": evil, "session_id": "01", "criterion": "adc620", "volume_ml": 3.0}],
        flow=[(evil, 1, [(evil, 1)])],
        available={evil: [f"J0_{evil}"]},
        eligibility={evil: (1, {evil: 1})},
        run={evil: evil},
        pages=[evil, "../x"],
    )
    plain = parse(cohort_page(cohort(3, 1), tmp_path / "plain")[-1])
    found = parse(cohort_page(view, tmp_path / "evil")[-1])
    assert found.tags.count("script") == plain.tags.count("script") == 1
    assert not any("script" in link for link in found.links)


def test_a_study_adds_its_part(tmp_path: Path) -> None:
    page = cohort_page(cohort(2, 0), tmp_path, more=[Section("Outcome", "outcome", "<p>AUC &lt; 1</p>")])[-1]
    text = page.read_text(encoding="utf-8")
    assert '<a href="#outcome">Outcome</a>' in text
    assert "<p>AUC &lt; 1</p>" in text


def test_patterns_of_images_are_counted(tmp_path: Path, parse) -> None:
    text = cohort_page(cohort(5, 0), tmp_path)[-1].read_text(encoding="utf-8")
    rows = text.split('<table class="matrix">')[1].split("</table>")[0].split("<tr>")
    counts = [row.split('class="n">')[1].split("<")[0] for row in rows[2:]]
    assert counts == ["5", "3", "2"]


def test_quality_rows_come_from_the_records() -> None:
    rows = qc_rows("sub-01", records())
    assert [row["lane"] for row in rows] == ["J0", "J1", "J1_s0", "J0_flair", "J0_gre"]
    assert rows[0]["adc_median"] == 803.2
    assert rows[2] == {"participant_id": "sub-01", "lane": "J1_s0", "nmi": 1.21, "shift_mm": 3.4}
    assert qc_rows("sub-01", {}) == []


def test_volumes_rise_upwards() -> None:
    points = [Point("sub-01", "J0", 1.0), Point("sub-01", "J1", 10.0), Point("sub-02", "J0", 0.0)]
    svg = lesion_plot({"one": points}, lambda who: "")
    heights = [float(part.split('"')[0]) for part in svg.split(' cy="')[1:]]
    assert heights[1] < heights[0] < heights[2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3.14159", "3.14"), (None, "–"), (float("nan"), "–"), (-1.5, "−1.50"), ("x", "–")],
)
def test_numbers_are_readable(value: object, expected: str) -> None:
    assert number(value) == expected


def test_the_worst_state_of_a_patient_counts(tmp_path: Path) -> None:
    rows = [
        ("sub-01", "ok"),
        ("sub-01", "failed"),
        ("sub-01", "eligible"),
        ("sub-02", "warned"),
        ("n/a", "warned"),
    ]
    view = CohortView(status=[{"participant_id": who, "state": state} for who, state in rows])
    cohort_page(view, tmp_path)
    table = read_table(tmp_path / "tables" / "patients.tsv")
    assert [(row["participant_id"], row["state"]) for row in table] == [
        ("sub-01", "failed"),
        ("sub-02", "warned"),
    ]


@pytest.mark.parametrize("as_tuples", [False, True])
def test_branches_of_the_flow_stand_beside_each_other(tmp_path: Path, as_tuples: bool) -> None:
    stages = [
        Stage("found", 9, "", []),
        Stage("prepared", 8, "found", [("no file", 1)]),
        Stage("registered", 6, "prepared", [("bad fit", 2)]),
        Stage("lesions", 7, "prepared", [("no map", 1)]),
        Stage("eligible for outcome", 3, "found", [("mrs is missing", 6)]),
    ]
    above = ["", *(stage.label for stage in stages)]
    labels = [
        s.label if s.of == before else f"{s.label} (of those {s.of})"
        for s, before in zip(stages, above, strict=False)
    ]
    rows = [(label, stage.n, stage.reasons) for label, stage in zip(labels, stages, strict=True)]
    text = cohort_page(CohortView(flow=rows if as_tuples else stages), tmp_path)[-1].read_text(
        encoding="utf-8"
    )
    trunk, *branches = text.split('<section id="flow">')[1].split("</section>")[0].split("<h3>")
    assert [part.split("<")[0] for part in trunk.split("</b>")[1:]] == ["found", "prepared"]
    assert [part.split("<")[0] for part in branches] == ["Of the 8 prepared", "Of the 9 found"]
    assert branches[0].index("2: bad fit") < branches[0].index("1: no map")
