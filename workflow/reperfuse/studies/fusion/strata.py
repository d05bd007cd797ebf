"""Strata of patients from embeddings, and what tells them apart: every table of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.inputs import Floats
from reperfuse.evaluation.partition import medoids, shares, silhouettes, similarity_of
from reperfuse.studies.fusion import associations, phenotypes, stability, words
from reperfuse.studies.fusion.associations import Tested
from reperfuse.studies.fusion.clusters import CONSENSUS, FINAL, Clustered, Codes, clustered
from reperfuse.studies.fusion.represent import represent, residuals, upright

Row = dict[str, Any]
Table = tuple[tuple[str, ...], list[Row]]

COLUMNS = {
    "strata": "participant_id session_id stratum exemplar silhouette consensus_share stability",
    "strata-grid": "source damping preference n_strata smallest converged iterations silhouette chosen why",
    "stability": "what configuration estimate ci_low ci_high n n_strata",
    "factors": "factor variable loading",
    "factor-scores": "participant_id",
    "parallel": "component eigenvalue threshold kept",
    "associations": "analysis what name test statistic df p q effect effect_name p_permutation n significant",
    "posthoc": "name first second z p p_holm median_first median_second",
    "phenotypes-left-out": "variable missing n_levels why",
    "map2d": "participant_id pc1 pc2 stratum",
}


@dataclass(frozen=True)
class Found:
    """What was found.

    Parameters
    ----------
    tables : mapping
        Name → columns, rows; every name of `COLUMNS`.
    summary : mapping
        Numbers and sentences, as JSON holds them.
    """

    tables: Mapping[str, Table]
    summary: Mapping[str, Any]


def found(
    section: Mapping[str, Any],
    codes: Codes,
    ids: Sequence[str],
    *,
    clinical: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, str],
    session_ids: Mapping[str, str],
    others: stability.Others,
    seed: int,
) -> Found:
    """Find strata, say how stable they are, and test them against phenotypes.

    Phenotypes are looked at when the strata stand, and have no part in any choice. The tests are made four times: of
    the strata; of strata that are found again after the section's ``adjust`` is regressed out of the embeddings; of as
    many clusters by k-means; and of as many groups of equal frequency by volume of the lesion, which tell what volume
    alone explains.

    Parameters
    ----------
    section : mapping
        ``studies.fusion``.
    codes : mapping
        ``fold-1`` … and ``final`` → embedding (n, k) of everybody by that encoder, rows in the order of ``ids``.
    ids : sequence of str
    clinical : mapping
        participant_id → variable → value, as in the study's excerpt.
    facts : mapping
        participant_id → ``brain_ml``, ``lesion_ml``, where they are known.
    groups : mapping
        participant_id → family; one who is not in it has none.
    session_ids : mapping
        participant_id → session of J0.
    others : mapping
        Configuration → its ids and codes: other systems, whose strata are compared with these.
    seed : int

    Raises
    ------
    ValueError
        A source does not hold a row for each patient.
    """
    for source, rows_of_it in codes.items():
        if len(rows_of_it) != len(ids):
            raise ValueError(
                f"{source} has {len(rows_of_it)} rows; expected {len(ids)}, one for each patient."
            )
    columns = {name: tuple(text.split()) for name, text in COLUMNS.items()}
    if not ids or not codes:
        return Found({name: (held, []) for name, held in columns.items()}, words.nothing())
    settings, statistics, level = section["strata"], section["statistics"], section["statistics"]["level"]
    one = clustered(codes, settings, seed=seed)
    families = [groups.get(who, f"alone {who}") for who in ids]
    factors = phenotypes.factors(section["phenotypes"], ids, clinical, seed=seed_of(seed, "factors"))
    singles = phenotypes.singles(section["phenotypes"], ids, clinical)
    steady = stability.stability(one, families, settings, level=level, seed=seed)
    rows = list(steady.rows)
    grid = _grid(one, "")
    ours = one.strata.labels
    analyses: dict[str, Tested] = {}
    sizes: dict[str, int] = {}
    covariates, adjusted_for, unknown = phenotypes.covariates(
        section["phenotypes"]["adjust"], ids, clinical, facts
    )
    not_adjusted = [{**row, "why": f"not regressed out: {row['why']}"} for row in unknown]
    pairs: list[Row] = []
    if one.strata.n > 1:
        blocks, cells = associations.blocks_of(section["phenotypes"]["within"], ids, clinical, groups)
        partitions = {"plain": ours}
        if adjusted_for:
            rest = clustered({k: residuals(c, covariates) for k, c in codes.items()}, settings, seed=seed)
            grid += _grid(rest, "adjusted-")
            partitions["adjusted"] = rest.strata.labels
        volumes = np.array([_number(facts.get(who, {}).get("lesion_ml")) for who in ids])
        partitions["volume_alone"] = associations.by_volume(volumes, one.strata.n)
        partitions["k_means"] = stability.k_means(one, seed=seed)
        for name, labels in partitions.items():
            sizes[name] = len(np.unique(labels[labels > 0]))
            analyses[name] = associations.tested(
                labels, factors, singles, analysis=name, blocks=blocks, cells=cells, statistics=statistics,
                seed=seed_of(seed, name),
            )  # fmt: skip
            if name != "plain":
                here = labels > 0
                rows.append(stability.compared(f"{name}_ari", ours[here], labels[here]))
        pairs = associations.pairs(ours, factors, singles, analyses["plain"].rows)
    rows += stability.others_compared(ids, ours, others, settings, seed=seed)
    strata = _strata(one, ids, session_ids, steady.of_patients)
    summary = words.summary(one, strata, rows, analyses, sizes, factors, adjusted_for, unknown, section)
    tables = {
        "strata": strata,
        "strata-grid": grid,
        "stability": rows,
        "factors": [
            {"factor": factor, "variable": variable, "loading": float(factors.loadings[j, i])}
            for i, factor in enumerate(factors.names)
            for j, variable in enumerate(factors.variables)
        ],
        "factor-scores": [
            {"participant_id": who, **dict(zip(factors.names, map(float, row), strict=True))}
            for who, row in zip(ids, factors.scores, strict=True)
        ],
        "parallel": list(factors.parallel),
        "associations": [row for tests in analyses.values() for row in tests.rows],
        "posthoc": pairs,
        "phenotypes-left-out": [*factors.left_out, *singles.left_out, *not_adjusted],
        "map2d": _map(one, codes, ids),
    }
    columns["factor-scores"] += factors.names
    return Found({name: (columns[name], table) for name, table in tables.items()}, summary)


def assigned(
    section: Mapping[str, Any],
    codes: Floats,
    ids: Sequence[str],
    strata_rows: Sequence[Mapping[str, Any]],
    new_codes: Floats,
    new_ids: Sequence[str],
    *,
    seed: int,
) -> list[Row]:
    """Return the stratum of patients who had no part in it: that of the nearest medoid in the final encoder's space.

    The medoid of a stratum is the member who is closest there to all others, which need not be the exemplar that
    affinity propagation chose, of the consensus least of all; the space is that of the cohort and is
    not fitted again.

    Parameters
    ----------
    section : mapping
        ``studies.fusion``.
    codes : array, shape (n, k)
        Of the cohort by the final encoder.
    ids : sequence of str, length n
    strata_rows : sequence of mapping
        Of `strata.tsv`.
    new_codes : array, shape (m, k)
        By the same encoder.
    new_ids : sequence of str, length m
    seed : int
        The one of `found`.

    Returns
    -------
    list of dict
        participant_id, stratum, distance, beyond: 1 where it is farther than any member is from the medoid.
    """
    if not len(new_ids):
        return []
    of = {row["participant_id"]: int(row["stratum"]) for row in strata_rows}
    here = [i for i, who in enumerate(ids) if who in of]
    labels = np.array([of[ids[i]] for i in here])
    space = represent(codes, section["strata"], seed=seed_of(seed, "chance", FINAL))
    points, new = space.of(codes)[here], space.of(new_codes)
    centres = points[medoids(similarity_of(points), labels)]
    names = np.unique(labels)
    reach = {
        int(name): float(np.linalg.norm(points[labels == name] - centre, axis=1).max())
        for name, centre in zip(names, centres, strict=True)
    }
    distances = np.linalg.norm(new[:, None, :] - centres[None, :, :], axis=2)
    nearest = distances.argmin(axis=1)
    return [
        {
            "participant_id": who,
            "stratum": (s := int(names[j])),
            "distance": float(d[j]),
            "beyond": int(d[j] > reach[s]),
        }
        for who, j, d in zip(new_ids, nearest, distances, strict=True)
    ]


def _strata(
    one: Clustered, ids: Sequence[str], session_ids: Mapping[str, str], steady: Floats | None
) -> list[Row]:
    labels = one.strata.labels
    exemplars = set(one.strata.exemplars.tolist())
    value = silhouettes(one.similarity, labels)
    share = shares(one.similarity, labels) if one.source == CONSENSUS else None
    return [
        {
            "participant_id": who,
            "session_id": session_ids.get(who, ""),
            "stratum": int(labels[i]),
            "exemplar": int(i in exemplars),
            "silhouette": float(value[i]) if one.strata.n > 1 else None,
            "consensus_share": None if share is None else float(share[i]),
            "stability": None if steady is None else float(steady[i]),
        }
        for i, who in enumerate(ids)
    ]


def _grid(one: Clustered, prefix: str) -> list[Row]:
    parts = dict(one.parts) | ({CONSENSUS: one.strata} if one.source == CONSENSUS else {})
    return [
        {"source": prefix + source}
        | dict(row)
        | {"converged": int(row["converged"]), "chosen": int(row["chosen"])}
        for source, part in parts.items()
        for row in part.tried
    ]


def _map(one: Clustered, codes: Codes, ids: Sequence[str]) -> list[Row]:
    """Return everybody on the first two principal axes of the final embedding, or of the first that there is."""
    points = one.points[FINAL if FINAL in codes else next(iter(codes))]
    centred = points - points.mean(axis=0)
    axes = upright(np.linalg.svd(centred, full_matrices=False)[2][:2].T)
    places = np.zeros((len(ids), 2))
    places[:, : axes.shape[1]] = centred @ axes
    return [
        {"participant_id": who, "pc1": float(x), "pc2": float(y), "stratum": int(label)}
        for who, (x, y), label in zip(ids, places, one.strata.labels, strict=True)
    ]


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
