"""The planted effects of the synthetic cohort come out of the whole pipeline as large as they were put in."""

from __future__ import annotations

import numpy as np
import pytest

from reperfuse.evaluation.crossval import by_configuration, cross_validate
from reperfuse.evaluation.discrimination import auc, paired_delong
from reperfuse.evaluation.leakage import Audit
from reperfuse.phantom.scalars import simulate
from reperfuse.studies.outcome.data import Sources
from tests.studies.outcome.cohorts import DICTIONARY, TARGET, folds_of, study

N = 2000
EARLY, LATE = "J0_clinical+lesion", "J1_clinical+lesion"


@pytest.mark.slow
def test_blocks_of_j0_and_j1_reach_what_a_large_sample_allows() -> None:
    table = simulate(N, 1)
    ids = [f"sub-{i:04d}" for i in range(N)]
    clinical = {
        who: {"age": float(table["age"][i]), "nihss": float(table["nihss"][i])} for i, who in enumerate(ids)
    }
    volumes = {
        who: {
            (visit, "adc620"): float(np.exp(table[name][i]))
            for visit, name in (("J0", "log_v0"), ("J1", "log_v1"))
        }
        for i, who in enumerate(ids)
    }
    labels = dict(zip(ids, table["favourable"].astype(int).tolist(), strict=True))
    whole = study(Sources(clinical, DICTIONARY, volumes, {}, {}), lesion_criteria=["adc620"])
    chosen = {name: whole.systems()[name] for name in (EARLY, LATE)}
    audit = Audit(whole.groups)
    found = cross_validate(
        chosen, labels, folds_of(labels, 8), audit, target=TARGET, session_ids={}, salt="s"
    )
    scored = by_configuration(found.predictions, target=TARGET)
    (ids_early, y, early, _), (ids_late, _, late, _) = (scored[name] for name in (EARLY, LATE))
    assert ids_early == ids_late == ids
    # Science reference, appendix B: large-sample figures of the two blocks.
    assert auc(y, early) == pytest.approx(0.785, abs=0.02)
    assert auc(y, late) == pytest.approx(0.843, abs=0.02)
    compared = paired_delong(y, late, early)
    assert compared.difference is not None and 0.035 < compared.difference < 0.075
    assert compared.low is not None and compared.low > 0
    assert {row["n_overlap"] for row in audit.rows()} == {0}
