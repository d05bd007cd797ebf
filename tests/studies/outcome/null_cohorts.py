"""What the tests and intervals of the outcome study say where there is nothing to find.

Cohorts of the paper's size (74 patients, 37 with the outcome) whose embeddings are noise go through the
study's own functions: two image-only configurations, 8 folds, 5 repeats. The declared test of their
difference must reject no more often than it says, within two standard errors. The page has the mean AUC over
folds and pooled, how often the pooled interval (DeLong) holds 0.5, and how often each test gives p < 0.05.
Run: make null-cohorts
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "workflow"))

from reperfuse.core.files import write_text  # noqa: E402
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
SEEDS = {
    0: 200,
    1000: 80,
}  # first seed → cohorts; the default test was chosen on the first and confirmed on the second
DECLARED = fill({}, load_schema(ROOT / "workflow/schemas", "outcome"))["primary_test"]
HEAD = """\
# The outcome study on noise

Written by `make null-cohorts`, from seeded cohorts of 74 patients whose images say nothing. The default test
(`primary_test`) was changed on the first column, on which the one before failed; the cohorts of the second were not
looked at before.

"""


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


def measured(seeds: range) -> dict[str, str]:
    """Return what the page says of some cohorts: quantity → value."""
    cohorts = [cohort(seed) for seed in seeds]
    error = len(cohorts) ** 0.5
    rows = {}
    for i, name in enumerate(("mean over folds", "pooled")):
        values = [found[i] for found, _ in cohorts]
        rows[f"AUC of noise, {name} (standard error)"] = f"{fmean(values):.3f} ({stdev(values) / error:.3f})"
    holds = 100 * fmean(found[2] for found, _ in cohorts)
    rows["pooled interval (DeLong, 95 %) holds 0.5"] = f"{holds:.0f} %"
    for test in cohorts[0][1]:
        share = fmean(float(_or_one(p[test]) < 0.05) for _, p in cohorts)
        rows[f"`{test}` of the difference: p < 0.05"] = f"{100 * share:.1f} %"
        if test == DECLARED:
            held = share <= 0.05 + 2 * (0.05 * 0.95) ** 0.5 / error
            rows[f"the declared test, `{test}`"] = "held" if held else "MISSED"
    return rows


def _or_one(p: float | None) -> float:
    """Return p; a test that cannot be made rejects nothing."""
    return 1.0 if p is None else p


def page(columns: dict[str, dict[str, str]]) -> str:
    """Return the page: quantities by group of cohorts."""
    lines = ["| | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for name in next(iter(columns.values())):
        lines.append(f"| {name} | " + " | ".join(rows[name] for rows in columns.values()) + " |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> int:
    columns = {
        f"{n} cohorts, seeds {first} to {first + n - 1}": measured(range(first, first + n))
        for first, n in SEEDS.items()
    }
    write_text(sys.argv[1], page(columns))
    print(page(columns))
    return int(any("MISSED" in rows.values() for rows in columns.values()))


if __name__ == "__main__":
    sys.exit(main())
