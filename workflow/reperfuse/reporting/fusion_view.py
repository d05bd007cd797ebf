"""The tables of the fusion study: reconstructions, what contrasts bring and cost, strata and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from reperfuse.core.files import read_json_or
from reperfuse.core.tables import Row, read_table
from reperfuse.reporting.study_view import CV, Rows, StudyView, read_tables, readable

ALL = "all"
WITH_SKIPS = "[unet]"
CONTRASTS: Mapping[str, str] = {
    "adc": "ADC",
    "flair": "FLAIR",
    "t1w": "T1w",
    "gre": "GRE",
    "jac": "Jacobian",
    "lesion": "lesion mask",
    "lesion_distance": "distance to the lesion",
    "tmax": "Tmax",
    "fa": "FA",
    "ndi": "NDI",
    ALL: "all contrasts",
}
KINDS: Mapping[str, str] = {
    "unet": "with skips",
    "voxel_pca": "principal components of voxels",
    "voxel_pca_mirrored": "principal components of voxels, mirror images too",
    "autoencoder_kl": "MONAI's AutoencoderKL",
}


@dataclass(frozen=True)
class FusionView(StudyView):
    """The tables of the study; each field may be empty.

    Attributes
    ----------
    metrics_by_subject, parameters, contrasts_curve, left_out, training, strata, strata_grid, stability, factors,
    factor_scores, parallel, associations, posthoc, phenotypes_left_out, map2d, strata_others : sequence of dict
        Rows of the table of that name with ``-`` for ``_``, as text.
    reported : sequence of dict
        Rows of ``paper.tsv``.
    strata_summary : mapping
        ``strata-summary.json``.
    """

    metrics_by_subject: Rows = ()
    parameters: Rows = ()
    contrasts_curve: Rows = ()
    left_out: Rows = ()
    training: Rows = ()
    strata: Rows = ()
    strata_grid: Rows = ()
    stability: Rows = ()
    factors: Rows = ()
    factor_scores: Rows = ()
    parallel: Rows = ()
    associations: Rows = ()
    posthoc: Rows = ()
    phenotypes_left_out: Rows = ()
    map2d: Rows = ()
    strata_others: Rows = ()
    reported: Rows = ()
    strata_summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """No outcome is predicted."""
        return ""

    @property
    def chief(self) -> str:
        """The configuration whose embedding gives the strata."""
        return str(self.summary.get("chief") or next(iter(self.configurations), ""))

    @cached_property
    def chief_contrasts(self) -> tuple[str, ...]:
        """Its contrasts."""
        return tuple(self.chief.split("+")) if self.chief else ()

    @cached_property
    def main(self) -> tuple[str, ...]:
        """Every configuration: those of the primary contrasts first, then other sets, large ones first."""
        order = sorted(
            self.configurations,
            key=lambda name: (name.partition("[")[0] != self.chief, -name.count("+")),
        )
        return tuple(sorted(order, key=lambda name: name != self.chief))

    @cached_property
    def _measures(self) -> dict[tuple[str, str, str, str], Row]:
        return {(r["configuration"], r["target"], r["metric"], r["estimator"]): r for r in self.metrics}

    def estimate(self, configuration: str, metric: str, estimator: str, split: str = CV) -> Row:
        """Return the row of ``metrics.tsv`` on all contrasts together; an empty one where there is none."""
        return self.of_target(configuration, metric, ALL, estimator)

    def of_target(self, configuration: str, metric: str, target: str, estimator: str = "fold_mean") -> Row:
        """Return the row of ``metrics.tsv`` on one contrast; an empty one where there is none."""
        return self._measures.get((configuration, target, metric, estimator), {})

    def named(self, configuration: str) -> str:
        """Return a configuration's readable name."""
        base, _, kind = configuration.partition("[")
        parts = base.split("+")
        name = " + ".join(map(contrast, parts)) if set(parts) <= set(self.every_contrast) else readable(base)
        kind = kind.removesuffix("]")
        return f"{name}, {KINDS.get(kind, kind.replace('_', ' '))}" if kind else name

    @cached_property
    def every_contrast(self) -> tuple[str, ...]:
        """Contrasts that any configuration fuses."""
        return tuple(
            dict.fromkeys(one for name in self.configurations for one in name.partition("[")[0].split("+"))
        )


def contrast(name: str) -> str:
    """Return a contrast's readable name."""
    return CONTRASTS.get(name, readable(name))


def read_fusion_view(folder: str | Path) -> FusionView:
    """Read the tables of the study's folder; a table that is absent, or an empty marker, has no rows."""
    found = read_tables(folder, FusionView)
    root = Path(folder)
    # `paper` is what every view answers for a configuration.
    path = root / "paper.tsv"
    reported = read_table(path) if path.is_file() and path.stat().st_size else []
    said = read_json_or(root / "strata-summary.json", {})
    return FusionView(**{**found, "reported": reported, "strata_summary": said})
