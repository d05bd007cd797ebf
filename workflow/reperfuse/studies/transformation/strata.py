"""Discrimination by reperfusion grade, time from onset and scanner, none of which is a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation import histograms, subgroups
from reperfuse.evaluation.discrimination import auc, average_precision
from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.voxel_tables import Judged
from reperfuse.evaluation.voxels import Voxels
from reperfuse.studies.transformation.judge import Case

Row = dict[str, Any]
COLUMNS = (
    "target configuration variable level n n_positive n_voxels auc ci_low ci_high average_precision prevalence "
    "p_differs"
).split()


def strata(found: Mapping[str, Mapping[str, Judged]], case: Case) -> list[Row]:
    """Return the AUC of voxels in each level, for the configurations of the primary comparison.

    Numbers are of patients but for ``n_voxels``. A level with fewer patients with HT than ``stratum_minimum`` has no
    AUC; ``p_differs`` is Cochran's Q over the levels.
    """
    return [
        {"target": target, "configuration": name, **row}
        for target, configurations in found.items()
        for name in dict.fromkeys((case.primary, case.comparator))
        if name in configurations
        for row in _of(configurations[name].voxels, case)
    ]


def levels_of(patients: tuple[str, ...], case: Case) -> dict[str, list[str]]:
    """Return variable → level of each patient."""
    known = [case.clinical.get(who, {}) for who in patients]
    times = [row.get("onset_to_mri_min") for row in known]
    minutes = [float(v) if isinstance(v, float | int) else None for v in times]
    return {
        **{key: [str(row.get(key) or subgroups.NOT_KNOWN) for row in known] for key in ("tici", "vendor")},
        "onset_to_mri_min": subgroups.bands(minutes, case.statistics["onset_bands"], unit="min"),
    }


def _of(voxels: Voxels, case: Case) -> list[Row]:
    rows: list[Row] = []
    for variable, of_patient in levels_of(voxels.patients, case).items():
        family = [
            {
                "variable": variable,
                "level": name,
                **_level(voxels.of([one == name for one in of_patient]), case),
            }
            for name in sorted(set(of_patient), key=lambda one: (one == subgroups.NOT_KNOWN, one))
        ]
        p = subgroups.heterogeneity(family, level=case.level)
        rows += [row | {"p_differs": p} for row in family]
    return rows


def _level(part: Voxels, case: Case) -> Row:
    counts = part.counts()
    row: Row = {"n": counts["n_patients"], "n_positive": counts["n_patients_positive"]}
    row |= {
        "n_voxels": counts["n"],
        "prevalence": counts["prevalence"],
        "auc": None,
        "average_precision": None,
    }
    row |= {"ci_low": None, "ci_high": None}
    value = auc(part.y, part.score) if row["n_positive"] >= case.statistics["stratum_minimum"] else None
    if value is not None:
        estimate = _interval(part, value, case)
        row |= {"auc": value, "ci_low": estimate.low, "ci_high": estimate.high}
        row["average_precision"] = average_precision(part.y, part.score)
    return row


def _interval(part: Voxels, value: float, case: Case) -> Estimate:
    asked, seed = int(case.statistics["bootstrap"]), seed_of(case.salt, "strata")
    if not asked:
        return Estimate(value, None, None, "none")
    counts = histograms.count(part.y, part.score, part.owner, patients=len(part.patients))
    draws = histograms.draw_patients(np.asarray(part.positive), draws=asked, seed=seed)
    found = histograms.resample(counts, draws)["auc"]
    return histograms.patient_interval(found, draws, exact=value, level=case.level).estimate
