"""What strata amount to, in numbers and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.studies.fusion.associations import Tested
from reperfuse.studies.fusion.clusters import CONSENSUS, FINAL, Clustered
from reperfuse.studies.fusion.phenotypes import Factors

Row = Mapping[str, Any]
OF = {
    "plain": "the strata",
    "adjusted": "strata found after {adjusted} were regressed out of the embedding",
    "volume_alone": "as many groups by volume of the lesion alone",
    "k_means": "as many clusters by k-means",
}


def summary(
    one: Clustered,
    strata: Sequence[Row],
    stability: Sequence[Row],
    analyses: Mapping[str, Tested],
    sizes: Mapping[str, int],
    factors: Factors,
    adjusted_for: Sequence[str],
    unknown: Sequence[Row],
    section: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the numbers that other pages quote, and sentences for them.

    Parameters
    ----------
    one : Clustered
    strata, stability : sequence of mapping
        Rows of these tables.
    analyses : mapping
        Analysis → its tests; empty where there is one stratum.
    sizes : mapping
        Analysis → number of its groups.
    factors : Factors
    adjusted_for : sequence of str
        What was regressed out.
    unknown : sequence of mapping
        What could not be: variable, why.
    section : mapping
        ``studies.fusion``.
    """
    counts = Counter(row["stratum"] for row in strata)
    share = [row["consensus_share"] for row in strata if row["consensus_share"] is not None]
    setting = one.strata.setting
    plain = analyses.get("plain")
    found = {
        name: {
            "n_strata": sizes[name],
            "n_factors_significant": len(tests.significant),
            "p_n_significant": tests.p_n_significant,
            "significant": [row["name"] for row in tests.rows if row["significant"]],
            "words": _tests(name, tests, sizes[name], len(factors.names), adjusted_for, section),
        }
        for name, tests in analyses.items()
    }
    values = [row["silhouette"] for row in strata if row["silhouette"] is not None]
    return {
        "n": len(strata),
        "n_strata": one.strata.n,
        "sizes": [counts[label] for label in sorted(counts)],
        "of": one.source,
        "encoders": len(one.members),
        "silhouette": float(np.mean(values)) if values else None,
        "consensus_share": float(np.mean(share)) if share else None,
        "settings": {} if setting is None else {"damping": setting.damping, "preference": setting.preference},
        "adjusted_for": list(adjusted_for) if "adjusted" in analyses else [],
        "n_factors": len(factors.names),
        "n_significant": len(plain.significant) if plain else None,
        "p_n_significant": plain.p_n_significant if plain else None,
        "analyses": found,
        "words": [
            _strata(one, counts, values),
            *_stable(stability),
            *(row["words"] for row in found.values()),
            *_not_adjusted(unknown if analyses else ()),
        ],
    }


def nothing() -> dict[str, Any]:
    """Return what is said where nobody has an embedding; keys as of `summary`."""
    numbers = dict.fromkeys(("silhouette", "consensus_share", "n_significant", "p_n_significant"))
    counts = {"n": 0, "n_strata": 0, "sizes": [], "of": "", "encoders": 0, "settings": {}, "adjusted_for": []}
    words = ["Nobody has an embedding, so no strata were sought."]
    return counts | numbers | {"n_factors": 0, "analyses": {}, "words": words}


def _strata(one: Clustered, counts: Mapping[int, int], values: Sequence[float]) -> str:
    setting = one.strata.setting
    if setting is None:
        why = Counter(str(row["why"]) for row in one.strata.tried).most_common(1)
        reason = f" ({why[0][0]})" if why else ""
        n_encoders = sum(source != FINAL for source in one.parts)
        if one.source == CONSENSUS and 0 < 2 * len(one.members) < n_encoders:
            return (
                f"No strata were found: {len(one.members)} of {n_encoders} encoders found any, fewer than half, "
                "so nothing was tested."
            )
        return (
            f"No strata were found: no setting of affinity propagation gave two clusters that count{reason}, "
            "so nothing was tested."
        )
    sizes = ", ".join(str(counts[label]) for label in sorted(counts))
    n_folds = sum(source != FINAL for source in one.parts)
    where = (
        f"the consensus of {len(one.members)} of {n_folds} encoders"
        if one.source == CONSENSUS
        else "the encoder trained on everybody"
        if one.source == FINAL
        else "one encoder"
    )
    return (
        f"{one.strata.n} strata of {sizes} patients in {where} (damping {setting.damping:g}, preference "
        f"{setting.preference:g}, mean silhouette {float(np.mean(values)):.2f})."
    )


def _stable(stability: Sequence[Row]) -> list[str]:
    of = {row["what"]: row for row in stability if row["estimate"] is not None}
    if "bootstrap_ari" not in of:
        return []
    row = of["bootstrap_ari"]
    said = f"Patients drawn again gave strata with an adjusted Rand index of {row['estimate']:.2f}"
    if "random_ari" in of:
        said += f", random strata of the same sizes {of['random_ari']['estimate']:.2f}"
    if "fold_ari" in of:
        said += f"; any two encoders agree to {of['fold_ari']['estimate']:.2f}"
    return [said + "."]


def _not_adjusted(unknown: Sequence[Row]) -> list[str]:
    told = "; ".join(f"{row['variable']} ({row['why']})" for row in unknown)
    return [f"Could not be regressed out: {told}."] if told else []


def _tests(
    name: str,
    tests: Tested,
    n_groups: int,
    n_factors: int,
    adjusted_for: Sequence[str],
    section: Mapping[str, Any],
) -> str:
    groups = OF[name].format(adjusted=", ".join(adjusted_for))
    if n_groups < 2:
        return f"{_capital(groups)}: fewer than two, so nothing was tested."
    singles = [row["name"] for row in tests.rows if row["what"] == "variable" and row["significant"]]
    n_singles = sum(row["what"] == "variable" for row in tests.rows)
    said = []
    if n_factors:
        p = [] if tests.p_n_significant is None else [f"p = {tests.p_n_significant:.2g} for so many"]
        which = "; ".join([*(tests.significant or ["none"]), *p])
        said.append(f"{len(tests.significant)} of {n_factors} factors ({which})")
    if n_singles:
        said.append(f"{len(singles)} of {n_singles} variables ({', '.join(singles) or 'none'})")
    if not said:
        return f"{_capital(groups)} ({n_groups}): there was nothing to test."
    rate = section["statistics"]["fdr"]
    return f"{_capital(groups)} ({n_groups}) differ in {' and '.join(said)} at a false discovery rate of {rate:g}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
