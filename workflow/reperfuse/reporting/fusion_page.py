"""The page of the fusion study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from reperfuse.reporting import fusion_plots as plots
from reperfuse.reporting import fusion_strata_plots as strata_plots
from reperfuse.reporting import fusion_strata_tables as strata
from reperfuse.reporting import fusion_tables as fusion
from reperfuse.reporting import study_listing as listing
from reperfuse.reporting import study_tables as tables
from reperfuse.reporting.fusion_maps import Triptychs
from reperfuse.reporting.fusion_view import FusionView
from reperfuse.reporting.fusion_words import LIMITS, READINGS, WORDS, headline, lost
from reperfuse.reporting.pages import Section, fragment
from reperfuse.reporting.study_page import Figures, Parts
from reperfuse.reporting.study_saliency import Cases
from reperfuse.reporting.voxel_tables import leakage_table

FIGURES: Figures = {
    "errors": (plots.errors, "metrics-by-subject.tsv"),
    "curve": (plots.curve, "contrasts-curve.tsv"),
    "embedding": (strata_plots.embedding, "map2d.tsv"),
    "stability": (strata_plots.stability, "stability.tsv"),
    "loadings": (strata_plots.loadings, "factors.tsv"),
    "boxplots": (strata_plots.boxplots, "factor-scores.tsv"),
    "training": (plots.training, "training.tsv"),
}


@dataclass(frozen=True)
class FusionParts(Parts):
    """The parts of the page, in order; each is there whatever the run could make, so that an absence is seen."""

    figures: ClassVar[Figures] = FIGURES
    readings: ClassVar[Mapping[str, Sequence[str]]] = READINGS
    pictures: ClassVar[type[Cases]] = Triptychs
    audit: ClassVar[Callable[..., tables.Table]] = staticmethod(leakage_table)

    view: FusionView

    def all(self) -> list[Section]:
        """Return the sections."""
        view = self.view
        return [
            self._said("Summary", "summary", headline(view)),
            Section("Words", "words", fragment("study_words.html.j2", words=WORDS)),
            self._left_out(),
            self._part(
                "Beside the paper",
                "paper",
                fusion.paper_table(view),
                absent="Nothing of the paper's is here.",
            ),
            self._part(
                "Reconstruction",
                "reconstruction",
                fusion.reconstruction_table(view),
                fusion.by_contrast_table(view),
                fusion.flags_table(view),
                figure="errors",
                after=lost(view),
            ),
            self._pictured(),
            self._part("Number of contrasts", "curve", fusion.curve_table(view), figure="curve"),
            self._part("Parameters", "cost", fusion.parameters_table(view), absent="No network was fitted."),
            self._part(
                "Comparisons",
                "comparisons",
                fusion.comparisons_table(view),
                absent="No comparison was made.",
            ),
            self._joined(
                "Strata",
                "strata",
                self._part("", "strata", strata.sizes_table(view), figure="embedding"),
                self._part("", "", strata.stability_table(view), strata.grid_table(view), figure="stability"),
            ),
            self._phenotypes(),
            self._part(
                "Other cohorts",
                "others",
                strata.others_table(view),
                absent="No other cohort or patient was scored.",
            ),
            self._leakage(),
            self._part("Training", "training", figure="training"),
            self._part(
                "Assumptions",
                "assumptions",
                listing.assumptions_table(
                    view.summary.get("assumptions") or {}, "Values that no source states"
                ),
                listing.assumptions_table(view.summary.get("sources") or {}, "Sources"),
                absent="None was recorded.",
            ),
            self._said("Limitations", "limitations", LIMITS),
        ]

    def _joined(self, title: str, anchor: str, *parts: Section) -> Section:
        return Section(title, anchor, Markup("").join(Markup(part.html) for part in parts))

    def _left_out(self) -> Section:
        return self._joined(
            "Patients",
            "patients",
            self._said("", "", [fusion.people(self.view)]),
            self._part("", "", *fusion.left_out_tables(self.view), absent="Nobody is recorded as left out."),
        )

    def _pictured(self) -> Section:
        made = self.cases.html()
        said = self.readings["triptychs"] if made.strip() else ["No reconstruction is there to show."]
        return Section("Originals and reconstructions", "triptychs", self._said("", "", said).html + made)

    def _phenotypes(self) -> Section:
        view = self.view
        return self._joined(
            "Phenotypes",
            "phenotypes",
            self._part(
                "",
                "phenotypes",
                strata.associations_table(view, "factor"),
                strata.associations_table(view, "variable"),
                strata.analyses_table(view),
                figure="boxplots",
                absent="Nothing was tested.",
            ),
            self._part(
                "",
                "",
                strata.posthoc_table(view),
                strata.loadings_table(view),
                strata.unused_table(view),
                figure="loadings",
            ),
        )
