"""The page of a study that predicts voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from reperfuse.reporting import study_tables as tables
from reperfuse.reporting import voxel_plots as plots
from reperfuse.reporting import voxel_tables as voxels
from reperfuse.reporting.pages import Section, fragment
from reperfuse.reporting.study_page import Figures, Parts
from reperfuse.reporting.study_saliency import Cases
from reperfuse.reporting.study_words import TEST_MEANINGS, power_sentences, primary_sentences
from reperfuse.reporting.voxel_maps import Maps
from reperfuse.reporting.voxel_view import BALANCED, DENSE, PATIENT, VoxelView
from reperfuse.reporting.voxel_words import LIMITS, READING, WORDS, summary

FIGURES: Figures = {
    "roc": (plots.roc, "roc.tsv"),
    "pr": (plots.precision_recall, "pr.tsv"),
    "fold_spread": (plots.fold_spread, "metrics-by-fold.tsv"),
    "within": (plots.within, "metrics-by-subject.tsv"),
    "severity": (plots.severity, "patients.tsv"),
    "calibration": (plots.reliability, "calibration.tsv"),
    "strata": (plots.strata, "strata.tsv"),
    "burden": (plots.burden, "burden.tsv"),
}


@dataclass(frozen=True)
class VoxelParts(Parts):
    """The parts of the page, in order; each is there in every such study, so that an absence is seen."""

    figures: ClassVar[Figures] = FIGURES
    readings: ClassVar[Mapping[str, Sequence[str]]] = READING
    pictures: ClassVar[type[Cases]] = Maps
    audit: ClassVar[Callable[..., tables.Table]] = staticmethod(voxels.leakage_table)

    view: VoxelView

    def all(self) -> list[Section]:
        """Return the sections."""
        view = self.view
        compared = [view.on(kind) for kind in (BALANCED, DENSE, PATIENT)]
        tests = dict.fromkeys(row.get("test", "") for row in view.comparisons)
        said = primary_sentences(view.on(BALANCED, "auc"), "AUC")
        return [
            self._said("Summary", "summary", [*summary(view), *said, *power_sentences(view)]),
            Section("Words", "words", fragment("study_words.html.j2", words=WORDS)),
            self._part(
                "Patients",
                "patients",
                *voxels.left_out_tables(view),
                voxels.patients_table(view),
                absent="Nobody is recorded as left out.",
            ),
            self._part("Beside the paper", "paper", voxels.paper_table(view), figure="fold_spread"),
            self._both("ROC and precision–recall curves", "roc", "pr"),
            self._part(
                "Whole brains",
                "dense",
                voxels.dense_table(view),
                absent="No patient's whole brain was predicted.",
            ),
            self._part("Within patients", "within", voxels.within_table(view), figure="within"),
            self._part(
                "Who will bleed",
                "occurrence",
                voxels.occurrence_table(view),
                absent="No patient-level score was made.",
            ),
            self._part("Severity", "severity", voxels.severity_table(view), figure="severity"),
            self._maps(),
            self._part("Calibration", "calibration", self._calibration(), figure="calibration"),
            self._part("Strata", "strata", voxels.strata_table(view), figure="strata"),
            self._part("Territories and regions", "burden", voxels.burden_table(view), figure="burden"),
            self._part(
                "Comparisons",
                "comparisons",
                *(self._comparisons(mine) for mine in compared),
                absent="No comparison was made.",
                after=[f"{TEST_MEANINGS[test]}." for test in tests if test in TEST_MEANINGS],
            ),
            self._part(
                "Hyper-parameters",
                "searched",
                voxels.listed(view.searched, "What was tried and chosen, by fold", folded=True),
                absent="Nothing was searched.",
            ),
            self._leakage(),
            *self._settled(),
            self._said("Limitations", "limitations", LIMITS),
        ]

    def _both(self, title: str, first: str, second: str) -> Section:
        parts = [self._part(title, name, figure=name) for name in (first, second)]
        return Section(title, first, Markup("").join(Markup(part.html) for part in parts))

    def _calibration(self) -> tables.Table:
        mine = self.view.on(BALANCED)
        caption = "Calibration in the balanced sample, pooled (95 % CI over patients)"
        return tables.measures_table(mine, tables.CALIBRATION, caption, folded=True)

    def _comparisons(self, mine: VoxelView) -> tables.Table:
        rows = []
        for metric, title in (("auc", "AUC"), ("average_precision", "AP")):
            chosen = [r for r in mine.comparisons if r.get("metric") == metric]
            made = tables.compared_table(mine, chosen, "")
            rows += [[row[0], tables.Cell(title), *row[1:]] for row in made.rows]
        heads = ("Comparison", "Measure", "Role", "Test", "Difference", "95 % CI", "Statistic", "p")
        caption = f"Differences, {mine.target}"
        return tables.Table(
            caption, (*heads, "p adjusted", "Note"), rows, frozenset({1, 2, 3, 9}), folded=True
        )

    def _maps(self) -> Section:
        title, pictures = "Likelihood maps of held-out patients", self.cases.html()
        said = READING["likelihood"] if pictures.strip() else ["No likelihood map is there to show."]
        return Section(title, "likelihood", fragment("study_summary.html.j2", sentences=said) + pictures)
