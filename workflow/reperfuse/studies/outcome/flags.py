"""Automatic warnings: signs that a result is not what it seems.

Each function turns numbers into one row of ``flags.tsv``. What cannot be judged is not raised, has no value,
and its sentence says so. The signs are those that the paper's summary names (gap between training and
validation, spread of folds, vanishing weight of the image) and those that a small sample invites.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from reperfuse.evaluation.thresholded import consistent

COLUMNS = ("flag", "configuration", "value", "limit", "raised", "sentence")
# Blocks of predictors that are learnt from the image itself; volumes and territories are measured on it.
IMAGE_BLOCKS = ("mri", "mask")

Row = dict[str, Any]


def train_validation_gap(
    configuration: str, training: float | None, validation: float | None, *, limit: float
) -> Row:
    """Flag a mean training AUC that exceeds the mean validation AUC by more than ``limit``."""
    if training is None or validation is None:
        return _unknown("train_validation_gap", configuration, limit, "an AUC is not estimable")
    gap = training - validation
    sentence = (
        f"The AUC is {training:.2f} on the patients that the model was fitted on and "
        f"{validation:.2f} on others, a gap of {gap:.2f} (limit {limit:g})"
    )
    return _row(
        "train_validation_gap", configuration, gap, limit, gap > limit, sentence, "the model overfits"
    )


def fold_spread(configuration: str, fold_aucs: Sequence[float | None], *, limit: float) -> Row:
    """Flag an SD (ddof 1) of the folds' AUCs above ``limit``; folds without AUC are left out."""
    known = [auc for auc in fold_aucs if auc is not None]
    if len(known) < 2:
        return _unknown("fold_spread", configuration, limit, "fewer than two folds have an AUC")
    spread = statistics.stdev(known)
    sentence = (
        f"The AUC varies between folds with an SD of {spread:.3f} over {len(known)} folds (limit {limit:g})"
    )
    why = "the mean over folds says little"
    return _row("fold_spread", configuration, spread, limit, spread > limit, sentence, why)


def image_weight(configuration: str, weight_of_block: Mapping[str, float], *, limit: float) -> Row:
    """Flag an image whose share of the classifier's absolute weight is below ``limit``.

    Parameters
    ----------
    configuration : str
    weight_of_block : mapping
        Block (``mri``, ``mask``, ``clinical``, ...) → sum of absolute coefficients of its scaled features.
        A block may carry its visit, as in ``J1:mri``.
    limit : float
        Between 0 and 1.
    """
    flag = "image_ignored"
    image = [w for block, w in weight_of_block.items() if block.rpartition(":")[2] in IMAGE_BLOCKS]
    total = math.fsum(weight_of_block.values())
    if not image:
        return _unknown(flag, configuration, limit, "the configuration has no image")
    if not total > 0:
        return _unknown(flag, configuration, limit, "every coefficient is 0")
    share = math.fsum(image) / total
    sentence = (
        f"The image carries {100 * share:.1f} % of the classifier's absolute weight (limit {100 * limit:g} %)"
    )
    return _row(flag, configuration, share, limit, share < limit, sentence, "the image is ignored")


def events_per_parameter(configuration: str, n_events: int, n_parameters: int, *, limit: float) -> Row:
    """Flag fewer than ``limit`` events per parameter.

    Parameters
    ----------
    configuration : str
    n_events : int
        Patients of the rarer outcome that a model is fitted on.
    n_parameters : int
        Coefficients of the classifier, intercept left out.
    limit : float
    """
    flag = "events_per_parameter"
    if n_parameters < 1:
        return _unknown(flag, configuration, limit, "the configuration has no fitted parameter")
    ratio = n_events / n_parameters
    sentence = (
        f"There are {n_events} events for {n_parameters} {_plural('parameter', n_parameters)}, "
        f"{ratio:.1f} for each (limit {limit:g})"
    )
    return _row(
        flag, configuration, ratio, limit, ratio < limit, sentence, "the sample is too small for the model"
    )


def one_class_folds(configuration: str, folds: Mapping[int, tuple[int, int]], *, limit: int) -> Row:
    """Flag more than ``limit`` folds of one outcome; ``folds`` maps fold → (n_positive, n)."""
    single = sorted(fold for fold, (positive, n) in folds.items() if positive in (0, n))
    names = f" ({', '.join(map(str, single))})" if single else ""
    sentence = f"{len(single)} of {len(folds)} folds hold patients of one outcome only{names}"
    why = "their AUC is not estimable and the mean leaves them out"
    return _row("one_class_fold", configuration, len(single), limit, len(single) > limit, sentence, why)


def naive_test_only(
    configuration: str, naive_p: float | None, other_p: Mapping[str, float | None], *, alpha: float
) -> Row:
    """Flag a difference that is significant by the naive t test of folds and by no valid test.

    Parameters
    ----------
    configuration : str
        The comparison, such as ``J1_mri - J0_mri``.
    naive_p : float or None
        p of the t test that takes folds as independent.
    other_p : mapping
        Valid test (``delong``, ``label_swap``, ``corrected_t``) → p.
    alpha : float
        Level of significance.
    """
    flag = "naive_test_only"
    known = {name: p for name, p in other_p.items() if p is not None}
    if naive_p is None or not known:
        return _unknown(flag, configuration, alpha, "a p value is not estimable")
    raised = naive_p < alpha and min(known.values()) >= alpha
    others = ", ".join(f"{name} {_p(p)}" for name, p in sorted(known.items()))
    sentence = (
        f"The naive t test of folds gives {_p(naive_p)}, tests that allow for shared patients give {others}"
    )
    why = "the difference is significant only where folds are taken as independent, which they are not"
    return _row(flag, configuration, naive_p, alpha, raised, sentence, why)


def image_alone_by_chance(
    configuration: str, ci_low: float | None, ci_high: float | None, *, chance: float
) -> Row:
    """Flag an image-only configuration whose AUC interval covers ``chance``; the value is the lower limit."""
    flag = "image_alone_by_chance"
    if ci_low is None or ci_high is None:
        return _unknown(flag, configuration, chance, "the interval is not estimable")
    sentence = f"The interval of the AUC of the image alone is {ci_low:.2f} to {ci_high:.2f}"
    why = f"it covers {chance:g}, what chance gives"
    return _row(flag, configuration, ci_low, chance, ci_low <= chance <= ci_high, sentence, why)


def calibration_slope(configuration: str, slope: float | None, *, low: float, high: float) -> Row:
    """Flag a calibration slope outside ``low`` to ``high``."""
    flag, limit = "calibration_slope", f"{low:g} to {high:g}"
    if slope is None:
        return _unknown(flag, configuration, limit, "the slope is not estimable")
    why = "probabilities are too extreme" if slope < low else "probabilities are too timid"
    sentence = f"The calibration slope is {slope:.2f} (limits {limit}; 1 is ideal)"
    return _row(flag, configuration, slope, limit, not low <= slope <= high, sentence, why)


def consistent_metrics(
    configuration: str, shown: Mapping[str, float | None], sizes: Mapping[str, Any]
) -> Row:
    """Flag metrics that cannot come from one confusion matrix, as of a table that mixes averages."""
    contradictions = consistent(shown, n=sizes["n"], n_positive=sizes["n_positive"], tolerance=1e-6)
    sentence = (
        "; ".join(contradictions)
        or "Accuracy, sensitivity, specificity and their kin come from one confusion matrix"
    )
    return _row(
        "consistent_metrics", configuration, len(contradictions), 0, bool(contradictions), sentence, "do not trust them"
    )  # fmt: skip


def missing_predictors(configuration: str, missing_share: Mapping[str, float], *, limit: float) -> Row:
    """Flag predictors that more than ``limit`` of the patients lack; ``missing_share``: variable → share."""
    flag = "missing_predictor"
    if not missing_share:
        return _unknown(flag, configuration, limit, "the configuration has no clinical predictor")
    over = sorted(
        (v for v, share in missing_share.items() if share > limit), key=lambda v: (-missing_share[v], v)
    )
    worst = max(missing_share.values())
    listed = ", ".join(f"{v} {100 * missing_share[v]:.0f} %" for v in over)
    sentence = f"More than {100 * limit:g} % of the patients lack {listed}" if over else (
        f"No predictor is missing in more than {100 * worst:.0f} % of the patients (limit {100 * limit:g} %)"
    )  # fmt: skip
    return _row(
        flag, configuration, worst, limit, bool(over), sentence, "much of what the model sees is filled in"
    )


def without_j1(configuration: str, n: int, n_without: int, *, limit: float) -> Row:
    """Flag more than ``limit`` of ``n`` patients without J1, who cannot take part in a comparison with J0."""
    flag = "without_j1"
    if n < 1:
        return _unknown(flag, configuration, limit, "there is no patient")
    share = n_without / n
    sentence = f"{n_without} of {n} patients ({100 * share:.0f} %) have no J1 (limit {100 * limit:g} %)"
    why = "those who are compared are a selection; see the table of selection"
    return _row(flag, configuration, share, limit, share > limit, sentence, why)


def degenerate_null(
    configuration: str, null_aucs: Sequence[float | None], n_positive: int, n: int, *, limit: float
) -> Row:
    """Flag a permutation null with hardly any spread, as arises where labels are not truly shuffled.

    The value is the SD of the null relative to that of the AUC of n patients with labels by chance,
    √((n + 1) / (12 n₁ n₀)); below ``limit`` the p value means nothing.
    """
    flag = "degenerate_null"
    known = [auc for auc in null_aucs if auc is not None]
    n_negative = n - n_positive
    if len(known) < 2 or min(n_positive, n_negative) < 1:
        return _unknown(flag, configuration, limit, "there are fewer than two draws, or one outcome only")
    expected = math.sqrt((n + 1) / (12 * n_positive * n_negative))
    ratio = statistics.stdev(known) / expected
    sentence = (
        f"The SD of {len(known)} AUCs with shuffled labels is {statistics.stdev(known):.3f}, "
        f"{ratio:.2f} times what chance gives (limit {limit:g})"
    )
    return _row(flag, configuration, ratio, limit, ratio < limit, sentence, "the permutation test is void")


def _row(
    flag: str, configuration: str, value: float, limit: Any, raised: bool, sentence: str, why: str
) -> Row:
    return {
        "flag": flag,
        "configuration": configuration,
        "value": value,
        "limit": limit,
        "raised": int(raised),
        "sentence": f"{sentence}: {why}." if raised else f"{sentence}.",
    }


def _unknown(flag: str, configuration: str, limit: Any, why: str) -> Row:
    return _row(flag, configuration, 0.0, limit, False, f"Not judged: {why}", "") | {"value": None}


def _plural(noun: str, n: int) -> str:
    return noun if n == 1 else f"{noun}s"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
