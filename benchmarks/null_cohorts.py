"""Claim: on noise the declared test of the outcome study rejects no more often than it says.

Cohorts of the paper's size (74 patients, 37 with the outcome) whose embeddings are noise go through the study's own
functions: two image-only configurations, 8 folds, 5 repeats. Printed: the mean AUC over folds and pooled, how often the
pooled interval (DeLong) holds 0.5, and how often each test of the difference of the two gives p < 0.05.
Run: python benchmarks/null_cohorts.py [cohorts] [first seed]
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))

from reperfuse.core.settings import fill, load_schema  # noqa: E402
from reperfuse.evaluation.comparison import compare  # noqa: E402
from reperfuse.evaluation.crossval import (  # noqa: E402
    by_configuration,
    cross_validate,
    fold_aucs,
    repeated_folds,
)
from reperfuse.evaluation.discrimination import auc, auc_interval  # noqa: E402
from reperfuse.evaluation.leakage import Audit  # noqa: E402
from reperfuse.studies.outcome.blocks import Block, Reduction  # noqa: E402
from reperfuse.studies.outcome.model import Workshop  # noqa: E402
from reperfuse.studies.outcome.recipe import Recipe  # noqa: E402
from reperfuse.studies.outcome.systems import systems  # noqa: E402

N, WIDTH, FOLDS, REPEATS = 74, 256, 8, 5


def cohort(seed: int) -> tuple[list[float], dict[str, float | None]]:
    """Return mean AUC over folds, pooled AUC and whether its interval holds 0.5; and p of each test."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"sub-{i:03d}" for i in range(N))
    labels = dict(zip(ids, rng.permutation(np.arange(N) % 2).tolist(), strict=True))
    columns = tuple(map(str, range(WIDTH)))
    blocks = {f"{v}:mri": Block(f"{v}:mri", columns, rng.normal(size=(N, WIDTH)), True) for v in ("J0", "J1")}
    recipes = {
        visit: Recipe((f"{visit}:mri",), visit, "svm", "linear", 0.1, Reduction("pca", 12, 0.95),
                      "pca_on_embeddings", 5)
        for visit in ("J0", "J1")
    }  # fmt: skip
    any_folds = {one: i % FOLDS + 1 for i, one in enumerate(ids)}
    drawn = repeated_folds(any_folds, labels, {}, repeats=REPEATS + 1, salt=str(seed))
    folds = {repeat - 1: places for repeat, places in drawn.items() if repeat > 1}  # all of them stratified
    workshop = Workshop(ids, np.array(ids), blocks)
    done = cross_validate(
        systems(workshop, recipes), labels, folds, Audit({}), target="t", session_ids={}, salt=str(seed)
    )
    scored = [by_configuration(done.predictions, target="t", repeat=repeat) for repeat in folds]
    differences = [
        [
            None if a is None or b is None else a - b
            for a, b in zip(fold_aucs(one["J1"]), fold_aucs(one["J0"]), strict=True)
        ]
        for one in scored
    ]  # fmt: skip
    who, y, p, _ = scored[0]["J1"]
    rows = compare(
        y, p, scored[0]["J0"][2], who, differences[0], groups=who,
        repeated_differences=[one for few in differences for one in few], test_share=1 / (FOLDS - 1),
        draws=1000, seed=seed, level=0.95,
    )  # fmt: skip
    whole = auc_interval(y, p, level=0.95)
    holds = float(whole.low is not None and whole.low <= 0.5 <= (whole.high or 1.0))
    found = [fmean(one for one in fold_aucs(scored[0]["J1"]) if one is not None), auc(y, p) or 0.5, holds]
    return found, {row["test"]: row["p"] for row in rows}


def main() -> int:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    cohorts = [cohort(seed) for seed in range(first, first + n)]
    error = n**0.5
    for i, name in enumerate(("mean over folds", "pooled")):
        values = [found[i] for found, _ in cohorts]
        print(f"AUC of noise, {name}: {fmean(values):.3f} (standard error {stdev(values) / error:.3f})")
    print(
        f"pooled interval (DeLong, 95 %) holds 0.5 in {100 * fmean(found[2] for found, _ in cohorts):.0f} %"
    )
    shares = {
        test: fmean(float((p[test] if p[test] is not None else 1.0) < 0.05) for _, p in cohorts)
        for test in cohorts[0][1]
    }
    for test, share in shares.items():
        print(f"{test} of the difference: p < 0.05 in {100 * share:.1f} %")
    declared = fill({}, load_schema(ROOT / "workflow/schemas", "outcome"))["primary_test"]
    held = shares[declared] <= 0.05 + 2 * (0.05 * 0.95) ** 0.5 / error
    print(f"{n} cohorts of {N}; the declared test ({declared}): {'held' if held else 'MISSED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
