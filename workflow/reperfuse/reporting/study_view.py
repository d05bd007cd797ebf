"""What the page of a study is made from: the tables of its folder, and how to find a number in them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from reperfuse.core.files import read_json_or
from reperfuse.core.tables import MISSING, Row, read_table
from reperfuse.reporting.pages import number, to_float

Rows = Sequence[Row]

NOT_ESTIMABLE = "not estimable"
CV = "cv"
METRIC_NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "ppv": "PPV",
    "npv": "NPV",
    "brier": "Brier score",
    "brier_skill": "Brier skill",
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "calibration_in_the_large": "in the large",
    "ici": "ICI",
    "e50": "E50",
    "e90": "E90",
    "ece": "ECE",
}
_TERMS = {"mrs_prestroke": "mRS before the stroke", "thrive": "THRIVE", "span100": "SPAN-100"}
_TERMS |= {"mrs": "mRS", "sbp": "systolic blood pressure", "tmax": "Tmax", "srkda": "SR-KDA"}
_TERM = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(_TERMS)})(?![A-Za-z0-9])")
_ACRONYMS = "mri nihss adc auc pca svm dwi flair lstm pwi aif cbf cbv mtt k2 roi tici".split()


@dataclass(frozen=True)
class StudyView:
    """The tables of one study; each field may be empty.

    Attributes
    ----------
    summary : mapping
        ``summary.json``. Read are title, n, n_positive, target, primary (first, second), notices, stamps,
        power, assumptions, sources, and if they are there: primary_test (name of the declared test), external
        (cohort to n_scored, n_labelled, n_left_out, why), main (configurations that the page is about; else
        all without a suffix in brackets), labels (configuration to a readable name), metric (what is
        compared; ``auc``).
    predictions, metrics, … : sequence of dict
        Rows of the table of that name with ``-`` for ``_``, as text; predictions are those of the first
        repeat.
    """

    summary: Mapping[str, Any] = field(default_factory=dict)
    predictions: Rows = ()
    metrics: Rows = ()
    metrics_by_fold: Rows = ()
    comparisons: Rows = ()
    roc: Rows = ()
    calibration: Rows = ()
    decision: Rows = ()
    coefficients: Rows = ()
    sweep: Rows = ()
    spread: Rows = ()
    conformal: Rows = ()
    subgroups: Rows = ()
    ordinal: Rows = ()
    selection: Rows = ()
    selection_reasons: Rows = ()
    permutation: Rows = ()
    flags: Rows = ()
    leakage: Rows = ()
    tripod: Rows = ()
    saliency: Rows = ()

    @property
    def stamps(self) -> tuple[str, ...]:
        """What must stand on everything that is shown."""
        return tuple(str(stamp) for stamp in self.summary.get("stamps") or ())

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader has to know before the numbers."""
        return tuple(str(notice) for notice in self.summary.get("notices") or ())

    @property
    def metric(self) -> str:
        """The measure that configurations are compared by."""
        return str(self.summary.get("metric") or "auc")

    @property
    def target(self) -> str:
        """The outcome that the page is about."""
        return str(self.summary.get("target") or next((r.get("target", "") for r in self.metrics), ""))

    @cached_property
    def configurations(self) -> tuple[str, ...]:
        """Every cross-validated configuration, in the order of the table."""
        rows = [row for row in self.metrics if row.get("split") == CV]
        return tuple(dict.fromkeys(row["configuration"] for row in rows))

    @cached_property
    def main(self) -> tuple[str, ...]:
        """The configurations that figures show: those that the summary names, or all without a suffix."""
        named = [str(name) for name in self.summary.get("main") or () if name in self.configurations]
        return tuple(named) or tuple(name for name in self.configurations if "[" not in name)

    @cached_property
    def primary(self) -> tuple[str, ...]:
        """The configurations of the primary comparison: two, or none."""
        given = self.summary.get("primary") or {}
        if given.get("first") and given.get("second"):
            return str(given["first"]), str(given["second"])
        return next(((r["first"], r["second"]) for r in self.comparisons if r.get("role") == "primary"), ())

    @property
    def declared_test(self) -> str:
        """The test that was declared for the primary comparison, empty where none was."""
        return str(self.summary.get("primary_test") or "")

    @property
    def internal_comparisons(self) -> Rows:
        """Comparisons of cross-validated predictions; those on other cohorts answer another question."""
        return [r for r in self.comparisons if r.get("role") != "external" and r.get("split", CV) in ("", CV)]

    @cached_property
    def externals(self) -> tuple[str, ...]:
        """Splits other than the cross-validation."""
        return tuple(dict.fromkeys(r["split"] for r in self.metrics if r.get("split", CV) != CV))

    @cached_property
    def _index(self) -> dict[tuple[str, str, str, str], Row]:
        found: dict[tuple[str, str, str, str], Row] = {}
        # A variant may have a target of its own, but no other target may stand for the study's.
        for row in sorted(self.metrics, key=lambda row: row.get("target") != self.target):
            key = (row["configuration"], row.get("split", CV), row["metric"], row.get("estimator", ""))
            found.setdefault(key, row)
        return found

    def estimate(self, configuration: str, metric: str, estimator: str, split: str = CV) -> Row:
        """Return the row of ``metrics.tsv``; an empty one where there is none."""
        return self._index.get((configuration, split, metric, estimator), {})

    def on_target(self, rows: Rows) -> Rows:
        """Return the rows on the study's own outcome, or on none in particular; other cuts have rows of their own."""
        return [row for row in rows if row.get("target") in (None, "", self.target)]

    def paper(self, configuration: str) -> Paper:
        """Return what the paper reports for a configuration."""
        for estimator in ("fold_mean", "pooled", "repeats"):
            text = self.estimate(configuration, self.metric, estimator).get("paper", "")
            if text:
                return paper_value(text)
        return paper_value("")

    def order(self, configurations: Iterable[str]) -> list[str]:
        """Return configurations with those of the primary comparison first."""
        known = list(dict.fromkeys(configurations))
        return [c for c in self.primary if c in known] + [c for c in known if c not in self.primary]

    def named(self, configuration: str) -> str:
        """Return a configuration's readable name."""
        given = (self.summary.get("labels") or {}).get(configuration)
        return str(given) if given else readable(configuration)


@dataclass(frozen=True)
class Paper:
    """A value as a paper reports it; ``mean`` and ``sd`` may be absent, a ``bound`` is not compared."""

    text: str
    mean: float | None
    sd: float | None
    uncertain: bool
    bound: bool


_NUMBER = r"[-+\u2212]?\d+(?:\.\d+)?"


def paper_value(text: str) -> Paper:
    """Read a paper's value as tables hold it.

    Examples
    --------
    >>> found = [paper_value(text) for text in ("0.923±0.085", "<= 0.86", "0.901 (row uncertain)")]
    >>> found[0].sd, found[1].mean, found[2].uncertain
    (0.085, None, True)
    """
    found = re.match(rf"\s*({_NUMBER})(?:\s*(?:±|\+/-)\s*({_NUMBER}))?", text)
    mean = to_float(found[1].replace("\u2212", "-")) if found else None
    sd = to_float(found[2]) if found else None
    return Paper(text, mean, sd, "uncertain" in text.lower() or "?" in text, bool(text) and mean is None)


def read_view(folder: str | Path) -> StudyView:
    """Read the tables of a study's folder; a table that is absent, or an empty marker, has no rows."""
    return StudyView(**read_tables(folder, StudyView))


def read_tables(folder: str | Path, kind: type[StudyView]) -> dict[str, Any]:
    """Return summary and tables of a folder, by the fields of a view."""
    root = Path(folder)
    found: dict[str, Any] = {"summary": read_json_or(root / "summary.json", {})}
    for name in (f.name for f in fields(kind) if f.name != "summary"):
        path = root / f"{name.replace('_', '-')}.tsv"
        if path.is_file() and path.stat().st_size:
            found[name] = _first_repeat(path) if name == "predictions" else read_table(path)
    return found


def _first_repeat(path: Path) -> list[Row]:
    # Every repeat of every variant can be millions of rows, of which a page shows the first repeat's.
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        kept = [row for row in rows if row.get("repeat") in ("1", MISSING, None)]
    return [{key: "" if value == MISSING else value for key, value in row.items()} for row in kept]


def readable(name: str) -> str:
    """Return a configuration's or feature's name as words.

    Examples
    --------
    >>> readable("J1_mri+clinical"), readable("J0_mri[c=0.01]")
    ('J1 MRI + clinical', 'J0 MRI [c = 0.01]')
    """
    base, bracket, suffix = name.partition("[")
    words = re.split(r"([\s+_]+)", _TERM.sub(lambda found: _TERMS[found[1]], base))
    text = "".join(word.upper() if word in _ACRONYMS else word for word in words)
    text = text.replace("_", " ").replace("+", " + ")
    if bracket:
        text += " [" + re.sub(r"(<=|>=|=)", r" \1 ", suffix).replace("_", " ")
    return " ".join(text.replace("<=", "≤").replace(">=", "≥").split())


def value(text: Any, digits: int = 3) -> str:
    """Return a number for reading, or that it is not estimable."""
    return NOT_ESTIMABLE if to_float(text) is None else number(text, digits)


def signed(text: Any, digits: int = 3) -> str:
    """Return a difference with its sign."""
    found = to_float(text)
    if found is None:
        return NOT_ESTIMABLE
    shown = number(found, digits)
    return f"+{shown}" if round(found, digits) > 0 else shown


def limits(row: Mapping[str, Any], digits: int = 3) -> str:
    """Return a row's confidence interval, empty where there is none."""
    low, high = to_float(row.get("ci_low")), to_float(row.get("ci_high"))
    return "" if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"


def with_limits(row: Mapping[str, Any], digits: int = 3, key: str = "estimate") -> str:
    """Return a row's estimate with its confidence interval in brackets."""
    shown, between = value(row.get(key), digits), limits(row, digits)
    return f"{shown} ({between})" if between and shown != NOT_ESTIMABLE else shown


def mean_sd(row: Mapping[str, Any], digits: int = 3) -> str:
    """Return a mean over folds with their standard deviation."""
    shown, sd = value(row.get("estimate"), digits), to_float(row.get("fold_sd"))
    return shown if sd is None or shown == NOT_ESTIMABLE else f"{shown} ± {number(sd, digits)}"


def probability(text: Any) -> str:
    """Return a p value with two significant digits.

    Examples
    --------
    >>> probability(0.0431), probability(0.5), probability(2e-7), probability("")
    ('0.043', '0.50', '< 0.0001', 'not estimable')
    """
    p = to_float(text)
    if p is None:
        return NOT_ESTIMABLE
    if p < 0.0001:
        return "< 0.0001"
    digits = 2 if p >= 0.0995 else 3 if p >= 0.00995 else 4 if p >= 0.000995 else 5
    return f"{p:.{digits}f}"


def count(text: Any) -> str:
    """Return a whole number for reading."""
    return value(text, 0)
