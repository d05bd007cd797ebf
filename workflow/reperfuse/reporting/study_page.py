"""The page of a study: what was compared, how it was judged, and what it does not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.sax.saxutils import escape

from markupsafe import Markup

from reperfuse.core.files import write_text
from reperfuse.reporting import curves, study_plots, study_sets
from reperfuse.reporting import study_listing as listing
from reperfuse.reporting import study_tables as tables
from reperfuse.reporting.figures import Images
from reperfuse.reporting.pages import RESEARCH_USE, Section, fragment, page, to_float
from reperfuse.reporting.plots import standalone
from reperfuse.reporting.study_canvas import Drawn, measure
from reperfuse.reporting.study_reading import (
    AUDIT_GAPS,
    CALIBRATED,
    CLEAN,
    EMPTY_CELLS,
    READING,
    SELECTION,
    UNCERTAIN,
    WORDS,
)
from reperfuse.reporting.study_saliency import Cases, saliency_table
from reperfuse.reporting.study_view import StudyView, count
from reperfuse.reporting.study_words import (
    TEST_MEANINGS,
    draws_sentence,
    external_sentences,
    power_sentences,
    primary_sentences,
)

# Name → how it is drawn, and the table that it is drawn from.
Figures = Mapping[str, tuple[Callable[..., Drawn], str]]
FIGURES: Figures = {
    "roc": (curves.roc, "roc.tsv"),
    "fold_spread": (study_plots.fold_spread, "metrics-by-fold.tsv"),
    "calibration": (curves.calibration, "calibration.tsv"),
    "decision_curve": (curves.decision, "decision.tsv"),
    "coefficients": (study_plots.coefficients, "coefficients.tsv"),
    "sweep": (study_plots.sweep, "sweep.tsv"),
    "permutation": (curves.permutation, "permutation.tsv"),
    "subgroups": (study_sets.subgroups, "subgroups.tsv"),
    "conformal": (study_sets.conformal, "conformal.tsv"),
}


def draw(view: StudyView, figures: Figures = FIGURES) -> dict[str, Drawn]:
    """Return every figure by name; one that cannot be drawn holds the sentence that says why."""
    return {name: make(view) for name, (make, _) in figures.items()}


def study_page(
    view: StudyView,
    target: Path,
    *,
    study: str,
    home: str,
    mapped: Mapping[str, Images] | None = None,
    parts: type[Parts] | None = None,
) -> list[Path]:
    """Write a study's page, and its figures as files of their own.

    Parameters
    ----------
    view : StudyView
    target : Path
        The page, ``<results>/report/<study>.html``; figures go to ``<results>/<study>/figures``.
    study : str
        Name of the study's folder.
    home : str
        Relative link to the cohort's page; none if empty.
    mapped : mapping, optional
        File of a row of ``saliency.tsv`` → images ``map``, ``adc``, ``brain``, ``lesion``; pictures go to
        ``<results>/<study>/saliency``.
    parts : type, optional
        What the page consists of; a study of patients and their outcome unless given.

    Returns
    -------
    list of Path
        The written files, the page last.
    """
    target, parts = Path(target), parts or Parts
    drawn = draw(view, parts.figures)
    written = []
    for name, figure in drawn.items():
        path = target.parent.parent / study / "figures" / f"{name}.svg"
        if figure.svg:
            write_text(path, _file(figure.svg, view.stamps))
            written.append(path)
        else:
            # A figure of an earlier run would contradict the page.
            path.unlink(missing_ok=True)
    cases = parts.pictures(target.parent.parent, study, view, mapped or {})
    n, positive = view.summary.get("n"), view.summary.get("n_positive")
    lead = fragment(
        "study_lead.html.j2",
        stamps=view.stamps,
        notices=view.notices,
        n=None if n is None else count(n),
        positive=None if positive is None else count(positive),
        target=view.target,
    )
    title = str(view.summary.get("title") or study)
    sections = parts(view, study, drawn, cases).all()
    write_text(target, page(title=title, lead=lead, sections=sections, script=True, home=home))
    return [*written, *cases.written, target]


def _file(svg: str, stamps: Sequence[str]) -> str:
    """A figure leaves its page, so that what must be known goes with it."""
    return standalone(svg).replace(
        "</svg>", f"<desc>{escape(' '.join((RESEARCH_USE, *stamps)))}</desc></svg>", 1
    )


@dataclass(frozen=True)
class Parts:
    """The parts of the page, in order; each is there in every study, so that an absence is seen.

    A study of another kind has a class of its own, with its figures, its pictures and how to read them.
    """

    figures: ClassVar[Figures] = FIGURES
    readings: ClassVar[Mapping[str, Sequence[str]]] = READING
    pictures: ClassVar[type[Cases]] = Cases
    audit: ClassVar[Callable[..., tables.Table]] = staticmethod(listing.leakage_table)

    view: StudyView
    study: str
    drawn: Mapping[str, Drawn]
    cases: Cases

    def all(self) -> list[Section]:
        view, metric = self.view, measure(self.view)
        measures = tables.measures_table(
            view,
            tables.DISCRIMINATION,
            "All measures, pooled out-of-fold predictions (approximate 95 % CI)",
            folded=True,
        )
        calibrated = tables.measures_table(view, tables.CALIBRATION, CALIBRATED)
        papers = [view.paper(name) for name in view.main]
        beside = [EMPTY_CELLS] * bool(papers) + [UNCERTAIN] * any(paper.uncertain for paper in papers)
        tests = dict.fromkeys(row.get("test", "") for row in view.internal_comparisons)
        outside = external_sentences(view)
        shuffled = view.order(row["configuration"] for row in view.permutation)
        return [
            self._said("Summary", "summary", [*primary_sentences(view, metric), *power_sentences(view)]),
            Section("Words", "words", fragment("study_words.html.j2", words=WORDS)),
            self._patients(),
            self._part(
                "Beside the paper",
                "paper",
                tables.paper_table(view),
                measures,
                figure="fold_spread",
                after=beside,
            ),
            self._part("ROC curves", "roc", figure="roc"),
            self._part("Calibration", "calibration", calibrated, figure="calibration"),
            self._part("Decision curve", "decision", figure="decision_curve"),
            self._part("Coefficients", "coefficients", figure="coefficients"),
            self._mapped(),
            self._part(
                "Sensitivity",
                "sensitivity",
                tables.variants_table(view),
                tables.sweep_table(view),
                listing.spread_table(view),
                figure="sweep",
            ),
            self._part(
                "Comparisons",
                "comparisons",
                tables.comparisons_table(view),
                absent="No comparison was made.",
                after=[f"{TEST_MEANINGS[test]}." for test in tests if test in TEST_MEANINGS],
            ),
            self._part(
                "Permutation",
                "permutation",
                figure="permutation",
                after=[draws_sentence(view, name) for name in shuffled],
            ),
            self._part(
                "Conformal prediction", "conformal", listing.conformal_table(view), figure="conformal"
            ),
            self._part("Subgroups", "subgroups", listing.subgroups_table(view), figure="subgroups"),
            self._part(
                "Ordinal outcome",
                "ordinal",
                listing.ordinal_table(view),
                absent="The outcome was not judged on its whole scale.",
            ),
            self._part(
                "External cohorts",
                "external",
                *tables.external_tables(view),
                absent="" if outside else "No other cohort was scored.",
                after=outside,
            ),
            self._warnings(),
            self._leakage(),
            *self._settled(),
        ]

    def _settled(self) -> list[Section]:
        """Return what was assumed, and the checklist."""
        summary = self.view.summary
        return [
            self._part(
                "Assumptions",
                "assumptions",
                listing.assumptions_table(summary.get("assumptions") or {}, "Values that no source states"),
                listing.assumptions_table(summary.get("sources") or {}, "Sources"),
                absent="None was recorded.",
            ),
            self._part(
                "TRIPOD+AI",
                "tripod",
                listing.tripod_table(self.view),
                absent="The checklist was not filled in.",
            ),
        ]

    def _part(
        self,
        title: str,
        anchor: str,
        *shown: tables.Table,
        figure: str = "",
        absent: str = "",
        reading: Sequence[str] | None = None,
        after: Sequence[str] = (),
    ) -> Section:
        given = [tables.html(table, self.view) for table in shown if table.rows]
        drawn = self.drawn.get(figure, Drawn())
        seen = bool(given or drawn.svg)
        guide = self.readings.get(anchor, ()) if reading is None else reading
        html = fragment(
            "study_block.html.j2",
            # What cannot be seen needs no guide to it.
            reading=guide if seen else (),
            svg=Markup(drawn.svg),
            note=drawn.note or ("" if seen else absent),
            name=figure,
            source=self.figures[figure][1] if figure else "",
            study=self.study,
            tables=given,
            after=after,
        )
        return Section(title, anchor, html)

    def _said(self, title: str, anchor: str, sentences: Sequence[str]) -> Section:
        return Section(title, anchor, fragment("study_summary.html.j2", sentences=sentences))

    def _patients(self) -> Section:
        n, positive = self.view.summary.get("n"), self.view.summary.get("n_positive")
        who = "How many patients took part is not recorded."
        if to_float(n) is not None:
            who = f"{count(n)} patients took part; {count(positive)} had the outcome."
        part = self._part(
            "Patients",
            "patients",
            listing.reasons_table(self.view),
            listing.selection_table(self.view),
            absent="Nobody is recorded as left out.",
            reading=[SELECTION] if self.view.selection else (),
        )
        return Section(
            part.title, part.anchor, fragment("study_summary.html.j2", sentences=[who]) + part.html
        )

    def _mapped(self) -> Section:
        part = self._part(
            "What the network looked at",
            "saliency",
            saliency_table(self.view),
            absent="No map of what a network looked at was made.",
        )
        return Section(part.title, part.anchor, part.html + self.cases.html())

    def _warnings(self) -> Section:
        raised = [row for row in self.view.flags if row.get("raised") == "1"]
        quiet = [row for row in self.view.flags if row.get("raised") != "1"]
        html = fragment("study_flags.html.j2", raised=raised, quiet=quiet, named=self.view.named)
        return Section("Warnings", "warnings", html)

    def _leakage(self) -> Section:
        overlaps = [to_float(row.get("n_overlap")) for row in self.view.leakage]
        said = AUDIT_GAPS if None in overlaps else CLEAN
        if leaks := sum(bool(overlap) for overlap in overlaps):
            said = (
                f"Do not trust these results: fitted objects that have seen whom they predict for: {leaks}."
            )
        absent = "No audit was recorded."
        return self._part("Leakage audit", "leakage", self.audit(self.view), reading=[said], absent=absent)
