"""Where it bleeds, and where it was expected: haemorrhage by vascular territory and eloquent region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.evaluation.agreement import spearman
from reperfuse.imaging.atlas import Atlas
from reperfuse.studies.transformation.patients import Priors
from reperfuse.studies.transformation.predicted import Predicted
from reperfuse.studies.transformation.seen import Seen

Row = dict[str, Any]
COLUMNS = (
    "configuration atlas label name side eloquent n_patients n_with_ht observed_ml predicted_ml "
    "predicted_corrected_ml spearman ci_low ci_high"
).split()


def burden(
    dense: Predicted,
    configuration: str,
    priors: Priors,
    seen: Mapping[str, Seen],
    atlases: Mapping[str, Atlas],
    *,
    eloquent: Sequence[str],
    level: float,
) -> list[Row]:
    """Return one row for each region: mean volume over patients of haemorrhage, observed and predicted.

    Parameters
    ----------
    dense, configuration, priors
        Likelihoods of whole brains; nothing of scores that are no probabilities.
    seen : mapping
        participant_id → what is known; ``regions`` says which label each voxel has.
    atlases : mapping
    eloquent : sequence of str
        A region whose name holds one of these words is eloquent.
    level : float
        Of the interval of the rank correlation of both volumes over patients.
    """
    if configuration not in dense.scores or not dense.voxels(configuration).is_probability:
        return []
    rows: list[Row] = []
    for name, atlas in atlases.items():
        known = [k for k, who in enumerate(dense.patients) if who in seen and name in seen[who].regions]
        if not known:
            continue
        volumes = np.stack([_volumes(dense, configuration, k, priors, seen, name, atlas) for k in known])
        for number, region in atlas.regions.items():
            observed, predicted, corrected = volumes[:, :, number].T
            found = spearman(predicted, observed, level=level)
            words = region.name.lower()
            rows.append(
                {"configuration": configuration, "atlas": name, "label": number, "name": region.name}
                | {"side": region.side, "eloquent": any(word.lower() in words for word in eloquent)}
                | {"n_patients": len(known), "n_with_ht": int((observed > 0).sum())}
                | {"observed_ml": float(observed.mean()), "predicted_ml": float(predicted.mean())}
                | {"predicted_corrected_ml": float(corrected.mean())}
                | {"spearman": found.value, "ci_low": found.low, "ci_high": found.high}
            )
    return rows


def _volumes(
    dense: Predicted,
    configuration: str,
    index: int,
    priors: Priors,
    seen: Mapping[str, Seen],
    atlas: str,
    regions: Atlas,
) -> np.ndarray:
    """Return ml (3, labels) observed, predicted and predicted at the true prevalence; NaN where that is not known."""
    about = seen[dense.patients[index]]
    mine = dense.of(index)
    p = dense.scores[configuration][mine].astype(np.float64)
    mine, p = mine[np.isfinite(p)], p[np.isfinite(p)]
    label = about.regions[atlas][tuple(dense.xyz[mine].T)]
    corrected = priors.corrected(p, dense.fold[index])
    parts = [dense.y[mine], p, np.full(p.size, np.nan) if corrected is None else corrected]
    width = max(regions.regions, default=0) + 1
    found = [np.bincount(label, weights=one, minlength=width)[:width] * about.voxel_ml for one in parts]
    if corrected is None:
        found[2][:] = np.nan
    return np.stack(found)
