"""The page of the severity study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from reperfuse.reporting import curves, study_plots, study_sets
from reperfuse.reporting import severity_plots as plots
from reperfuse.reporting import severity_tables as severity
from reperfuse.reporting import study_listing as listing
from reperfuse.reporting import study_tables as tables
from reperfuse.reporting.pages import Section, fragment
from reperfuse.reporting.severity_maps import Looks, seen_summary_table, seen_table
from reperfuse.reporting.severity_view import SeverityView
from reperfuse.reporting.severity_words import (
    CALIBRATED,
    LIMITS,
    READINGS,
    WORDS,
    against_volume,
    consistency_sentences,
    seen_sentences,
)
from reperfuse.reporting.study_page import Figures, Parts
from reperfuse.reporting.study_reading import EMPTY_CELLS, UNCERTAIN
from reperfuse.reporting.study_saliency import Cases
from reperfuse.reporting.study_words import (
    TEST_MEANINGS,
    external_sentences,
    power_sentences,
    primary_sentences,
)
from reperfuse.reporting.voxel_tables import leakage_table

FIGURES: Figures = {
    "fold_spread": (study_plots.fold_spread, "metrics-by-fold.tsv"),
    "roc": (curves.roc, "roc.tsv"),
    "calibration": (curves.calibration, "calibration.tsv"),
    "decision_curve": (curves.decision, "decision.tsv"),
    "volume": (plots.volume, "subgroups.tsv"),
    "cuts": (plots.cuts, "cuts.tsv"),
    "ablations": (plots.ablations, "ablations.tsv"),
    "randomised": (plots.randomised, "randomised.tsv"),
    "conformal": (study_sets.conformal, "conformal.tsv"),
    "subgroups": (plots.subgroups, "subgroups.tsv"),
}


@dataclass(frozen=True)
class SeverityParts(Parts):
    """The parts of the page, in order; each is there whatever the run could make, so that an absence is seen."""

    figures: ClassVar[Figures] = FIGURES
    readings: ClassVar[Mapping[str, Sequence[str]]] = READINGS
    pictures: ClassVar[type[Cases]] = Looks
    audit: ClassVar[Callable[..., tables.Table]] = staticmethod(leakage_table)

    view: SeverityView

    def all(self) -> list[Section]:
        """Return the sections."""
        view = self.view
        said = [*primary_sentences(view, "AUC"), *against_volume(view), *power_sentences(view)]
        calibrated = tables.measures_table(view, tables.CALIBRATION, CALIBRATED)
        outside = external_sentences(view)
        tests = dict.fromkeys(row.get("test", "") for row in view.internal_comparisons)
        return [
            self._said("Summary", "summary", said),
            Section("Words", "words", fragment("study_words.html.j2", words=WORDS)),
            self._patients(),
            self._paper(),
            self._part(
                "Averages and consistency",
                "averages",
                severity.averages_table(view, view.primary, folded=False),
                severity.averages_table(view, view.configurations, folded=True),
                severity.consistency_table(view, ours=False),
                severity.consistency_table(view, ours=True),
                absent="No averages were made.",
                after=consistency_sentences(view),
            ),
            self._part("ROC curves", "roc", figure="roc"),
            self._part("Calibration", "calibration", calibrated, figure="calibration"),
            self._part("Decision curve", "decision", figure="decision_curve"),
            self._part(
                "Thresholds", "thresholds", severity.thresholds_table(view), absent="None was chosen."
            ),
            self._part("By lesion volume", "volume", severity.volume_table(view), figure="volume"),
            self._part("Other cuts", "cuts", severity.cuts_table(view), figure="cuts"),
            self._part("Ablations", "ablations", severity.ablations_table(view), figure="ablations"),
            self._part(
                "Comparisons",
                "comparisons",
                *severity.compared_tables(view),
                absent="No comparison was made.",
                after=[f"{TEST_MEANINGS[test]}." for test in tests if test in TEST_MEANINGS],
            ),
            self._part(
                "External cohorts",
                "external",
                *tables.external_tables(view.elsewhere()),
                absent="" if outside else "No other cohort was scored.",
                after=outside,
            ),
            self._looked(),
            self._part(
                "Conformal prediction", "conformal", listing.conformal_table(view), figure="conformal"
            ),
            self._part(
                "Subgroups",
                "subgroups",
                listing.subgroups_table(view.bands(volume=False)),
                figure="subgroups",
            ),
            self._warnings(),
            self._leakage(),
            self._part(
                "Training", "training", severity.training_table(view), absent="No network was trained."
            ),
            *self._settled(),
            self._said("Limitations", "limitations", LIMITS),
        ]

    def _patients(self) -> Section:
        made = super()._patients()
        if not self.view.left_out:
            return made
        shown = [tables.html(table, self.view) for table in severity.left_out_tables(self.view)]
        # The base finds its reasons in another table, which this study need not have.
        html = made.html.replace("Nobody is recorded as left out.", "")
        return Section(made.title, made.anchor, Markup(html) + Markup("").join(shown))

    def _paper(self) -> Section:
        view = self.view
        measures = tables.measures_table(
            view,
            tables.DISCRIMINATION,
            "All measures, pooled out-of-fold predictions (approximate 95 % CI)",
            folded=True,
        )
        papers = [view.paper(name) for name in view.main]
        return self._part(
            "Beside the paper",
            "paper",
            tables.paper_table(view),
            *([severity.crossval_table(view)] if len(view.crossvals) > 1 else []),
            measures,
            severity.reported_table(view),
            figure="fold_spread",
            after=[EMPTY_CELLS] * bool(papers) + [UNCERTAIN] * any(paper.uncertain for paper in papers),
        )

    def _looked(self) -> Section:
        view = self.view
        part = self._part(
            "Where the network looked",
            "saliency",
            seen_summary_table(view),
            seen_table(view),
            # Without maps there is nothing to make random.
            figure="randomised" if view.saliency else "",
            absent="No map of where a network looked was made: none was asked for, or the first network has no maps of "
            "features.",
            reading=[*seen_sentences(view), *self.readings["saliency"]] if view.saliency else (),
        )
        return Section(part.title, part.anchor, Markup(part.html) + self.cases.html())
