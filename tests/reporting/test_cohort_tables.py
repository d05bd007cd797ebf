from __future__ import annotations

from reperfuse.reporting.cohort_tables import assumed_section, folds_section


def test_folds_are_shown_with_their_balance_and_notices() -> None:
    balance = [{"fold": 1, "n": 3, "n_0": 1, "n_1": 2}, {"fold": 2, "n": 2, "n_0": 1, "n_1": 1}]
    html = folds_section(
        {"outcome": {"n_folds": 2, "balance": balance, "notices": ["<b>few</b> patients"]}}
    ).html
    assert "<td>3</td><td>1</td><td>2</td>" in html
    assert "&lt;b&gt;few" in html, "text is escaped"


def test_a_study_without_folds_says_so() -> None:
    assert "None drawn" in folds_section({"outcome": {"n_folds": 0, "balance": [], "notices": []}}).html
    assert folds_section({}).html == ""


def test_assumed_values_are_listed() -> None:
    html = assumed_section({"lesions.z_gate": 2, "clinical.missing": ["n/a", "<x>"]}).html
    assert "<code>lesions.z_gate</code></td><td><code>2</code>" in html
    assert "<x>" not in html
