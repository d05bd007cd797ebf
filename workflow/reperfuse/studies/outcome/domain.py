"""Whom a frozen model was fitted on, as ranges of its predictors, and which patients lie outside them.

A range holds from the 1st to the 99th percentile of the patients whom the model was fitted on, both rounded outwards
to a value that one of them has; below a hundred patients it is from their least to their greatest value, and a
patient like them lies outside it more often, by 2 / (n + 1). `n` says how many patients it rests on.

A card goes to others, so that no range tells a single patient's value: below a hundred patients its ends are rounded
outwards to two significant digits, and whoever is older than 90 counts as 90.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.studies.outcome.model import FittedRecipe
from reperfuse.studies.outcome.study import Outcome

Array = np.ndarray
Row = dict[str, Any]
# Visit → what `scanner.scan_of` says of the image.
Scan = Mapping[str, Mapping[str, Any]]
PERCENTILES = (1.0, 99.0)
FEW = 100
MOST_AGE = 90.0
IMAGES = ("mri", "mask")
# A region that few lesions reach has no range; what a lesion's place does to a model shows in its volume.
WITHOUT_RANGE = "territories"
COLUMNS = "split participant_id configuration predictor value low high levels n".split()


def domains(study: Outcome, models: Mapping[str, FittedRecipe]) -> dict[str, dict[str, Row]]:
    """Return configuration → `training_domain` of the patients whom each model was fitted on."""
    found = {}
    for name, model in models.items():
        rows = np.array(sorted(model.seen), dtype=int)
        values = {block.name: study.blocks[block.name].values[rows] for block in model.blocks}
        scans = [study.sources.scans.get(study.workshop.ids[row], {}) for row in rows]
        found[name] = training_domain(model, values, scans)
    return found


def training_domain(
    model: FittedRecipe, values: Mapping[str, Array], scans: Sequence[Scan]
) -> dict[str, Row]:
    """Return the range of every predictor among the patients whom a model was fitted on.

    Parameters
    ----------
    model : FittedRecipe
    values : mapping
        Block → (n, p) predictors of those patients, NaN where missing.
    scans : sequence of mapping
        (n) visit → what is known of the image.

    Returns
    -------
    dict
        Predictor → ``low``, ``high``, ``n``, or ``levels``, ``n``; predictors that nobody has are left out. Of an image
        it is the distance from the training patients' mean in units of their SD along each component, which for
        components of SD 1 is Mahalanobis'; it has no lower bound.
    """
    numbers, words = _predictors(model, values, scans)
    found: dict[str, Row] = {}
    for name, column in numbers.items():
        known = column[~np.isnan(column)]
        if known.size:
            # Not interpolated, or of a score that few have above 0 the least mark would be outside.
            low = float(np.percentile(known, PERCENTILES[0], method="lower"))
            high = float(np.percentile(known, PERCENTILES[1], method="higher"))
            if known.size < FEW:
                low, high = outwards(low, up=False), outwards(high, up=True)
            found[name] = {"low": None if name.endswith(" distance") else low, "high": high, "n": known.size}
    for name, levels in words.items():
        counted = Counter(level for level in levels if level)
        if counted:
            found[name] = {"levels": sorted(counted), "n": counted.total()}
    return found


def outwards(value: float, *, up: bool) -> float:
    """Return a number rounded up or down to two significant digits; one that has no more stays."""
    if value == 0:
        return 0.0
    exponent = math.floor(math.log10(abs(value))) - 1
    mantissa = float(f"{value / 10.0**exponent:.9g}")  # 0.13 is 13 hundredths, and not a little more
    return float(f"{math.ceil(mantissa) if up else math.floor(mantissa)}e{exponent}")


def outside_domain(
    model: FittedRecipe,
    domain: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, Array],
    scans: Sequence[Scan],
    ids: Sequence[str],
    *,
    split: str,
    configuration: str,
) -> list[Row]:
    """Return a row for each patient and predictor outside the range of a model's training patients.

    A missing value is not outside: the model fills it in as it learnt to.

    Parameters
    ----------
    model : FittedRecipe
    domain : mapping
        What `training_domain` returned, as the model's card keeps it.
    values, scans
        See `training_domain`; of the patients to judge.
    ids : sequence of str
        (n) their names.
    split, configuration : str
        For the rows.
    """
    numbers, words = _predictors(model, values, scans)
    rows: list[Row] = []
    for name, known in domain.items():
        head = {"split": split, "configuration": configuration, "predictor": name, "n": known["n"]}
        if "levels" in known:
            said = {"levels": ", ".join(known["levels"])}
            rows += [
                head | said | {"participant_id": who, "value": level}
                for who, level in zip(ids, words.get(name, ()), strict=False)
                if level and level not in known["levels"]
            ]
            continue
        low, high = known["low"], known["high"]
        # What is computed on another machine may differ by a hair's breadth, which is not outside.
        slack = 1e-9 * max(1.0, abs(high))
        for who, value in zip(ids, numbers.get(name, np.empty(0)).tolist(), strict=False):
            if value > high + slack or (low is not None and value < low - slack):
                rows.append(head | {"participant_id": who, "value": value, "low": low, "high": high})
    return sorted(rows, key=lambda row: row["participant_id"])


def counts(rows: Iterable[Mapping[str, Any]], scored: Iterable[tuple[str, str]]) -> list[Row]:
    """Return how many patients lie outside on what, over all models, the commonest first.

    Parameters
    ----------
    rows : iterable of mapping
        Of ``scores-domain.tsv``.
    scored : iterable of (split, participant_id)
        Everybody who has a prediction by a frozen model.

    Returns
    -------
    list of dict
        split, predictor (empty for any of them), n_outside, n_scored, n_fitted (fewest patients that a range rests on;
        None where nobody lies outside).
    """
    everybody: dict[str, set[str]] = {}
    for split, who in scored:
        everybody.setdefault(split, set()).add(who)
    beyond: dict[str, dict[str, set[str]]] = {split: {"": set()} for split in everybody}
    fitted: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        mine = beyond.setdefault(row["split"], {"": set()})
        for name in ("", row["predictor"]):
            mine.setdefault(name, set()).add(row["participant_id"])
            fitted.setdefault((row["split"], name), []).append(int(row["n"]))
    found = []
    for split, predictors in sorted(beyond.items()):
        for name, people in sorted(predictors.items(), key=lambda one: (one[0] != "", -len(one[1]), one[0])):
            counted = {"n_outside": len(people), "n_scored": len(everybody.get(split, ()))}
            fewest = min(fitted.get((split, name), ()), default=None)
            found.append({"split": split, "predictor": name, **counted, "n_fitted": fewest})
    return found


def notices(counted: Iterable[Mapping[str, Any]], *, most: int) -> list[str]:
    """Return a sentence for each split of which patients lie outside, with the commonest predictors by name."""
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for row in counted:
        by_split.setdefault(row["split"], []).append(row)
    found = []
    for split, (total, *each) in by_split.items():
        if not total["n_outside"]:
            continue
        where = f" of cohort {split.partition(':')[2]}" if ":" in split else " without an outcome"
        named = ", ".join(f"{row['predictor']} ({row['n_outside']})" for row in each[:most])
        more = f" and {len(each) - most} more" if len(each) > most else ""
        # Of n and one more who is like them, any may be the greatest or the least.
        expected = max(2, round(200 / (total["n_fitted"] + 1)))
        found.append(
            f"{total['n_outside']} of {total['n_scored']} patients{where} lie outside the range of those whom a frozen "
            f"model was fitted on: {named}{more}. With {total['n_fitted']} patients or more behind each range, up to "
            f"{expected} in 100 patients like them lie outside it; see scores-domain.tsv."
        )
    return found


def _predictors(
    model: FittedRecipe, values: Mapping[str, Array], scans: Sequence[Scan]
) -> tuple[dict[str, Array], dict[str, list[str | None]]]:
    """Return predictor → (n) numbers, NaN where missing, and predictor → (n) words, None where missing."""
    numbers: dict[str, Array] = {}
    words: dict[str, list[str | None]] = {}
    visits: dict[str, None] = {}
    for block in model.blocks:
        moment, _, kind = block.name.partition(":")
        mine = values[block.name]
        if kind in IMAGES:
            distance = np.sqrt((block.transform(mine) ** 2).sum(axis=1))
            numbers[f"{block.name} distance"] = np.where(np.isnan(mine).all(axis=1), np.nan, distance)
        elif kind != WITHOUT_RANGE:
            for i, column in enumerate(block.columns):
                capped = np.minimum(mine[:, i], MOST_AGE) if column == "age" else mine[:, i]
                numbers[f"{block.name} {column}"] = capped
        if kind in IMAGES or kind.startswith("lesion"):
            visits |= dict.fromkeys(moment.split("-"))
    for visit in visits:
        seen = [scan.get(visit, {}) for scan in scans]
        volumes = np.array([scan.get("voxel_mm3", np.nan) for scan in seen], dtype=float)
        numbers[f"{visit} voxel (mm3)"] = volumes
        words[f"{visit} vendor"] = [scan.get("vendor") for scan in seen]
        words[f"{visit} field (T)"] = [scan.get("field_t") for scan in seen]
    return numbers, words
