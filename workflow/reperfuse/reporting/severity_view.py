"""The tables of the severity study: what stands beside those of any study, and each cross-validation by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from reperfuse.core.tables import Row, read_table
from reperfuse.reporting.study_view import CV, Rows, StudyView, read_tables

EXTERNAL = "external:"
VOLUME = "lesion_ml"
RECALIBRATED = "[recalibrated]"
# What sees only the lesion's mask is named apart from what sees images.
LABELS: Mapping[str, str] = {
    "tractnet": "TRACT-NET",
    "resnet18": "ResNet-18",
    "densenet121": "DenseNet-121",
    "seresnet50": "SE-ResNet-50",
    "vit": "ViT",
    "log_volume": "lesion volume",
    "log_volume+age": "lesion volume + age",
    "maps": "lesion maps",
}


@dataclass(frozen=True)
class SeverityView(StudyView):
    """The tables of the study; each field may be empty.

    Attributes
    ----------
    averages, consistency, cuts, thresholds, ablations, left_out, training, randomised, saliency_summary : sequence
        Rows of the table of that name with ``-`` for ``_``, as text.
    reported : sequence of dict
        Rows of ``paper.tsv``.
    """

    averages: Rows = ()
    consistency: Rows = ()
    cuts: Rows = ()
    thresholds: Rows = ()
    ablations: Rows = ()
    left_out: Rows = ()
    training: Rows = ()
    randomised: Rows = ()
    saliency_summary: Rows = ()
    reported: Rows = ()

    @cached_property
    def chief(self) -> str:
        """The configuration that the page is about."""
        return self.primary[0] if self.primary else next(iter(self.configurations), "")

    @cached_property
    def crossvals(self) -> tuple[str, ...]:
        """Splits that are cross-validations, the main one first."""
        found = dict.fromkeys([CV, *(r.get("split", CV) for r in self.metrics)])
        return tuple(split for split in found if split.partition(":")[0] == CV)

    @cached_property
    def externals(self) -> tuple[str, ...]:
        """Splits that are other cohorts."""
        return tuple(
            dict.fromkeys(r["split"] for r in self.metrics if r.get("split", "").startswith(EXTERNAL))
        )

    def on(self, split: str) -> SeverityView:
        """Return a view in which another cross-validation has the place of the main one."""
        names = ("metrics", "metrics_by_fold", "comparisons", "averages", "roc", "predictions")
        kept: dict[str, Any] = {
            name: [{**r, "split": CV} for r in getattr(self, name) if r.get("split", CV) == split]
            for name in names
        }
        return replace(self, **kept)

    def elsewhere(self) -> SeverityView:
        """Return a view without the other cross-validations: beside the main one there are other cohorts alone."""
        inner = set(self.crossvals) - {CV}
        return replace(self, comparisons=[r for r in self.comparisons if r.get("split") not in inner])

    def n_folds(self, split: str = CV) -> int:
        """Return how many folds the first repeat of a cross-validation has."""
        rows = (
            r for r in self.metrics_by_fold if r.get("split", CV) == split and r.get("repeat") in ("1", "")
        )
        return len({r.get("fold") for r in rows})

    def n_repeats(self, split: str = CV) -> int:
        """Return how often a cross-validation was repeated, the first time included."""
        return len({r.get("repeat") for r in self.metrics_by_fold if r.get("split", CV) == split})

    def bands(self, *, volume: bool) -> SeverityView:
        """Return a view of the subgroups by lesion volume alone, or of all others."""
        mine = [{**r, "variable": "lesion"} for r in self.subgroups if r["variable"] == VOLUME]
        return replace(
            self, subgroups=mine if volume else [r for r in self.subgroups if r["variable"] != VOLUME]
        )

    def named(self, configuration: str) -> str:
        """Return a configuration's readable name."""
        base, bracket, suffix = configuration.partition("[")
        own = {**LABELS, **(self.summary.get("labels") or {})}
        if configuration in own:
            return str(own[configuration])
        return (
            f"{own[base]} {bracket}{suffix.replace('_', ' ')}"
            if base in own
            else super().named(configuration)
        )


def read_severity_view(folder: str | Path) -> SeverityView:
    """Read the tables of the study's folder; a table that is absent, or an empty marker, has no rows."""
    found = read_tables(folder, SeverityView)
    path = Path(folder) / "paper.tsv"
    # `paper` is what every view answers for a configuration.
    reported: list[Row] = read_table(path) if path.is_file() and path.stat().st_size else []
    return SeverityView(**{**found, "reported": reported})
