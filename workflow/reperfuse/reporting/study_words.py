"""What a study's numbers say: the primary comparison, what its size allows, how tests are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reperfuse.core.tables import Row
from reperfuse.reporting.pages import number, plain, to_float
from reperfuse.reporting.study_view import NOT_ESTIMABLE, StudyView, count, limits, probability, signed, value

TEST_NAMES = {
    "delong": "DeLong",
    "label_swap": "paired permutation",
    "corrected_t": "corrected resampled t",
    "corrected_t_repeats": "corrected t over all repeats",
    "naive_t": "naive t over folds",
    "patient_bootstrap": "bootstrap over patients",
}
TEST_MEANINGS = {
    "delong": "DeLong: the two AUCs of the same patients, pooled out-of-fold predictions",
    "label_swap": "paired permutation: the two predictions of each patient swapped at random",
    "corrected_t": "corrected resampled t: the AUCs of the folds, corrected for shared training patients",
    "corrected_t_repeats": "corrected t over all repeats: the same, with the folds of every repeat of the "
    "cross-validation; it hangs less on one way of drawing folds, and on noise finds differences too often",
    "naive_t": "naive t over folds: ignores that folds share patients and so finds differences too easily; "
    "shown as a warning only",
    "patient_bootstrap": "bootstrap over patients: whole patients are drawn again with all their voxels, the same "
    "for both models, because voxels of one patient are alike",
}
POOLED_TESTS = ("delong", "label_swap", "patient_bootstrap")
# What is compared, other than pooled values: its estimator, and its name.
FOLD_TESTS = {
    "corrected_t": ("fold_mean", "mean over folds"),
    "corrected_t_repeats": (
        "fold_mean",
        "mean over folds (of the first repeat; the difference is over all repeats)",
    ),
    "naive_t": ("fold_mean", "mean over folds"),
}
# Where conventions draw the line; only used to say whether the tests fall on one side of it.
CONVENTION = 0.05


def test_name(row: Mapping[str, str]) -> str:
    """Return a test's name for reading."""
    return TEST_NAMES.get(row.get("test", ""), row.get("test", "").replace("_", " "))


def primary_rows(view: StudyView) -> list[Row]:
    """Return the rows of the primary comparison, that of the declared test first."""
    rows = [row for row in view.internal_comparisons if row.get("role") == "primary"]
    return sorted(rows, key=lambda row: row.get("test") != view.declared_test)


def primary_sentences(view: StudyView, metric: str) -> list[str]:
    """Return the primary comparison in words: difference, interval, p of each test, how to take it.

    A test that the summary declares (``primary_test``) leads, with the values that it compares.

    Parameters
    ----------
    view : StudyView
    metric : str
        Readable name of the measure that is compared.
    """
    rows = primary_rows(view)
    who = _who(view)
    if not rows:
        return [f"{who}No primary comparison was made."]
    first, second = view.named(rows[0]["first"]), view.named(rows[0]["second"])
    declared = next((r for r in rows if r.get("test") == view.declared_test), None)
    # Without a declared test the values beside it are pooled ones, and so must the difference be if it can.
    ranked = sorted(rows, key=lambda r: (r is not declared, r.get("test") not in POOLED_TESTS))
    row = next((r for r in ranked if to_float(r.get("difference")) is not None), None)
    if row is None:
        return [f"{who}The difference in {metric} between {first} and {second} is {NOT_ESTIMABLE}."]
    between = limits(row)
    n = f"n = {count(row['n'])}; " if to_float(row.get("n")) is not None else ""
    interval = n + (f"95 % CI {between}; " if between else "")
    # A difference that is not the declared test's, which could not be made, is a pooled one where it can be.
    estimator, kind = FOLD_TESTS.get(row.get("test", ""), ("", "")) if row is declared else ("", "")
    values = [
        f"{name} {value(view.estimate(row[side], view.metric, estimator or 'pooled').get('estimate'))}"
        for name, side in ((first, "first"), (second, "second"))
    ]
    tests = _tests(rows, declared)
    said = (
        f"{who}Primary comparison, {f'{metric} as {kind}' if kind else f'pooled {metric}'}: {values[0]}, {values[1]}, "
        f"difference {signed(row['difference'])} ({interval}{tests})."
    )
    missed = [f"The declared test ({test_name({'test': view.declared_test})}) was not made."]
    return [said, *(missed if view.declared_test and declared is None else []), *_taken(row, rows)]


def _tests(rows: Sequence[Row], declared: Row | None) -> str:
    each = [f"{test_name(r)} {_p(r)}" for r in rows]
    if declared is None:
        return ", ".join(each)
    led = f"{test_name(declared)}, the declared test, {_p(declared)}"
    return led + (f"; for comparison: {', '.join(each[1:])}" if each[1:] else "")


def external_sentences(view: StudyView) -> list[str]:
    """Return of each other cohort, how many patients were scored, and how many were not and why."""
    said = []
    for name, found in (view.summary.get("external") or {}).items():
        scored, known, left = (to_float(found.get(key)) for key in ("n_scored", "n_labelled", "n_left_out"))
        why = str(found.get("why") or "").strip().rstrip(".")
        parts = ["nobody was scored" if not scored else f"{count(scored)} patients were scored"]
        parts += [] if known is None or not scored else [f"the outcome is known of {count(known)} of them"]
        parts += [f"{count(left)} were left out"] if left else []
        said.append(f"{name}: {', '.join(parts)}" + (f" (commonest reason: {why})." if why else "."))
    return said


def _who(view: StudyView) -> str:
    n, positive = to_float(view.summary.get("n")), to_float(view.summary.get("n_positive"))
    if n is None:
        return ""
    of = "" if positive is None else f", {count(positive)} of them with the outcome"
    return f"{count(n)} patients{of}. "


def _p(row: Mapping[str, str]) -> str:
    shown = probability(row.get("p"))
    return f"p {shown}" if shown.startswith(("<", "not")) else f"p = {shown}"


def _taken(row: Row, rows: Sequence[Row]) -> list[str]:
    said = []
    low, high = to_float(row.get("ci_low")), to_float(row.get("ci_high"))
    if low is not None and high is not None:
        said.append(
            "The interval includes zero: these data do not show that one of the two is better."
            if low <= 0 <= high
            else "The interval does not include zero."
        )
    # The naive test is too easily passed to have a vote.
    values = [to_float(r.get("p")) for r in rows if r.get("test") != "naive_t"]
    known = [p for p in values if p is not None]
    if known and min(known) < CONVENTION <= max(known):
        said.append(f"The tests do not agree on a p below {CONVENTION:g}: take the difference as unproven.")
    return said


def power_sentences(view: StudyView) -> list[str]:
    """Return what was recorded on what a study of this size can find."""
    given = view.summary.get("power") or {}
    if isinstance(given, str):
        return [given]
    texts = [str(v) for v in given.values() if isinstance(v, str)]
    rest = {key: v for key, v in given.items() if not isinstance(v, str) and v is not None}
    listed = ", ".join(f"{key.replace('_', ' ')} {plain(v)}" for key, v in rest.items())
    return [*texts, *([f"In numbers: {listed}."] if listed else [])]


def draws_sentence(view: StudyView, configuration: str) -> str:
    """Return how many draws with shuffled labels reach the observed value."""
    mine = [r for r in view.permutation if r["configuration"] == configuration]
    pairs = [(to_float(r.get("draw")), to_float(r.get("auc"))) for r in mine]
    null = [auc for draw, auc in pairs if draw and auc is not None]
    lost = sum(bool(draw) and auc is None for draw, auc in pairs)
    observed = next((auc for draw, auc in pairs if draw == 0), None)
    if observed is None or not null:
        return f"{view.named(configuration)}: {NOT_ESTIMABLE}."
    reached = sum(auc >= observed for auc in null)
    p = probability((reached + 1) / (len(null) + 1))
    return (
        f"{view.named(configuration)}: {reached} of the {len(null)} draws that gave an AUC reach the observed "
        f"{number(observed, 3)} (p {'' if p.startswith('<') else '= '}{p}); "
        f"mean of the draws {number(sum(null) / len(null), 3)}"
        + (f"; {lost} more gave none." if lost else ".")
    )
