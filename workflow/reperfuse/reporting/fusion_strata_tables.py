"""Tables of strata on the fusion study's page: how firm they are, and what tells them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from reperfuse.core.tables import Row
from reperfuse.reporting.fusion_tables import maybe
from reperfuse.reporting.fusion_view import FusionView
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.study_tables import Cell, Table, cell, p_value, stacked
from reperfuse.reporting.study_view import Rows, readable, signed, value

STABLE: Mapping[str, str] = {
    "bootstrap_ari": "patients drawn again",
    "fold_ari": "any two folds' encoders",
    "random_ari": "random strata of the same sizes",
    "k_means_ari": "k-means of as many",
    "final_ari": "encoder fitted on everybody",
    "adjusted_ari": "after regressing out what is adjusted for",
    "volume_alone_ari": "groups by volume of the lesion alone",
    "other_ari": "strata of",
}
ANALYSES: Mapping[str, str] = {
    "plain": "Strata",
    "adjusted": "Strata, adjusted",
    "volume_alone": "Lesion volume alone",
    "k_means": "k-means",
}
EFFECTS: Mapping[str, str] = {"epsilon_squared": "ε²", "cramers_v": "Cramér's V"}


def sizes_table(view: FusionView) -> Table:
    """Return how many patients each stratum has, and how firmly they belong to it."""
    groups: dict[str, list[Row]] = {}
    for row in view.strata:
        groups.setdefault(row["stratum"], []).append(row)
    rows = [
        [
            Cell(stratum, stratum),
            cell(len(mine), 0),
            Cell(next((r["participant_id"] for r in mine if r["exemplar"] == "1"), "–")),
            *(cell(_mean(mine, key), 2) for key in ("silhouette", "consensus_share", "stability")),
        ]
        for stratum, mine in sorted(groups.items(), key=lambda item: to_float(item[0]) or 0)
    ]
    heads = ("Stratum", "Patients", "Exemplar", "Silhouette", "Encoders that agree", "Found again")
    return Table("Strata, with means over their patients", heads, rows, frozenset({2}))


def _mean(rows: Sequence[Row], key: str) -> float | None:
    known = [found for row in rows if (found := to_float(row.get(key))) is not None]
    return sum(known) / len(known) if known else None


def stability_table(view: FusionView) -> Table:
    """Return how far strata are found again."""
    rows = [
        [
            Cell(stable(view, r)),
            stacked(r, 2),
            maybe(r.get("n_strata"), 0),
            maybe(r.get("n"), 0),
        ]
        for r in compared_rows(view)
    ]
    heads = ("Compared with", "ARI", "Strata there", "Comparisons or patients")
    return Table("Stability: adjusted Rand index with the strata", heads, rows)


def compared_rows(view: FusionView) -> Rows:
    """Return the rows of ``stability.tsv`` in which anything was compared."""
    return [r for r in view.stability if to_float(r.get("estimate")) is not None and to_float(r.get("n"))]


def stable(view: FusionView, row: Row) -> str:
    """Return what a row of ``stability.tsv`` compares with."""
    name = STABLE.get(row["what"], readable(row["what"]))
    return f"{name} {view.named(row['configuration'])}" if row["what"] == "other_ari" else name


def grid_table(view: FusionView) -> Table:
    """Return every setting of affinity propagation that was tried."""
    rows = [
        [
            Cell(readable(r["source"])),
            cell(r["damping"], 2),
            cell(r["preference"], 2),
            maybe(r["n_strata"], 0),
            maybe(r["smallest"], 0),
            Cell({"1": "yes", "0": "no"}.get(r["converged"], ""), None),
            maybe(r["iterations"], 0),
            maybe(r["silhouette"], 3),
            Cell("chosen" if r["chosen"] == "1" else r["why"], None, "counts" if r["chosen"] == "1" else ""),
        ]
        for r in view.strata_grid
    ]
    heads = (
        "Embedding",
        "Damping",
        "Preference",
        "Strata",
        "Smallest",
        "Converged",
        "Iterations",
        "Silhouette",
        "",
    )
    return Table("Settings that were tried", heads, rows, frozenset({5, 8}), folded=True)


def loadings_table(view: FusionView) -> Table:
    """Return the loadings that name factors: those of a given size."""
    least = to_float(view.summary.get("loading")) or 0.0
    found = {(r["variable"], r["factor"]): to_float(r["loading"]) or 0.0 for r in view.factors}
    factors = list(dict.fromkeys(r["factor"] for r in view.factors))
    strong = [v for v in dict.fromkeys(r["variable"] for r in view.factors)
              if any(abs(found.get((v, f), 0)) >= least for f in factors)]  # fmt: skip
    rows = [
        [
            Cell(readable(v)),
            *(
                Cell(signed(x, 2), str(x)) if abs(x := found.get((v, f), 0.0)) >= least else Cell("", "")
                for f in factors
            ),
        ]
        for v in strong
    ]
    return Table(f"Loadings of {least:g} and more", ("Variable", *map(readable, factors)), rows, folded=True)


def associations_table(view: FusionView, what: str) -> Table:
    """Return how strata differ in factors (``factor``) or single variables (``variable``)."""
    mine = [r for r in view.associations if (r["analysis"], r["what"]) == ("plain", what)]
    rows = []
    for r in mine:
        kind = "counts" if r["significant"] == "1" else ""
        effect = EFFECTS.get(r["effect_name"], r["effect_name"])
        rows.append(
            [
                Cell(readable(r["name"]), None, kind),
                Cell(
                    {"kruskal_wallis": "Kruskal–Wallis", "chi_squared": "χ²"}.get(
                        r["test"], readable(r["test"])
                    )
                ),
                cell(r["statistic"], 2),
                cell(r["df"], 0),
                p_value(r["p"]),
                Cell(p_value(r["q"]).text, r["q"], kind),
                p_value(r["p_permutation"]),
                Cell(f"{effect} {value(r['effect'], 3)}", r["effect"]),
                cell(r["n"], 0),
            ]
        )
    title = "Factors" if what == "factor" else "Single variables"
    heads = (title[:-1], "Test", "Statistic", "df", "p", "q", "p by permutation", "Effect", "n")
    return Table(f"{title} by stratum", heads, rows, frozenset({1}))


def analyses_table(view: FusionView) -> Table:
    """Return q of each factor and variable for strata, adjusted strata, lesion volume alone and k-means."""
    kinds = [kind for kind in ANALYSES if any(r["analysis"] == kind for r in view.associations)]
    found = {(r["analysis"], r["name"]): r for r in view.associations}
    rows = []
    for name in dict.fromkeys(r["name"] for r in view.associations):
        cells = []
        for kind in kinds:
            r = found.get((kind, name), {})
            effect = EFFECTS.get(r.get("effect_name", ""), "")
            under = f"{effect} {value(r.get('effect'), 2)}" if r else ""
            bold = "counts" if r.get("significant") == "1" else ""
            cells.append(Cell(p_value(r.get("q")).text if r else "", r.get("q", ""), bold, "", under))
        rows.append([Cell(readable(name)), *cells])
    heads = ("Factor or variable", *(ANALYSES[kind] for kind in kinds))
    return Table("q, and the effect below, in each analysis; bold: significant", heads, rows)


def posthoc_table(view: FusionView) -> Table:
    """Return which strata differ from which."""
    rows = [
        [
            Cell(readable(r["name"])),
            Cell(f"{r['first']} against {r['second']}"),
            cell(r["z"], 2),
            p_value(r["p_holm"]),
            *(cell(r[key], 2) for key in ("median_first", "median_second")),
        ]
        for r in view.posthoc
    ]
    heads = ("Factor or variable", "Strata", "z", "p (Dunn, Holm)", "Median, first", "Median, second")
    return Table("Which strata differ", heads, rows, frozenset({1}), folded=True)


def unused_table(view: FusionView) -> Table:
    """Return phenotypes that were left out."""
    rows = [
        [
            Cell(readable(r["variable"])),
            maybe(r.get("missing"), 2),
            maybe(r.get("n_levels"), 0),
            Cell(r["why"]),
        ]
        for r in view.phenotypes_left_out
    ]
    return Table(
        "Phenotypes left out",
        ("Variable", "Share missing", "Levels", "Why"),
        rows,
        frozenset({3}),
        folded=True,
    )


def others_table(view: FusionView) -> Table:
    """Return of each other cohort how many patients fall into each stratum, and how many into none."""
    groups: dict[str, list[Row]] = {}
    for row in view.strata_others:
        groups.setdefault(row.get("split", ""), []).append(row)
    strata = sorted(
        {r["stratum"] for r in view.strata_others if r["stratum"]}, key=lambda s: to_float(s) or 0
    )
    rows = []
    for split, mine in groups.items():
        known = [r for r in mine if r["stratum"]]
        counted = Counter(r["stratum"] for r in known)
        where = split.partition(":")[2] or readable(split) or "others"
        left = Counter(r.get("reason", "") for r in mine if not r["stratum"])
        why = "; ".join(f"{reason or 'not recorded'} ({n})" for reason, n in left.most_common(3))
        cells = [cell(counted[one], 0) for one in strata]
        beyond = sum(r["beyond"] == "1" for r in known)
        rows.append([Cell(where), *cells, cell(beyond, 0), cell(len(mine) - len(known), 0), Cell(why)])
    heads = ("Cohort", *(f"Stratum {one}" for one in strata), "Beyond", "Left out", "Why")
    return Table("Patients of other cohorts by stratum", heads, rows, frozenset({len(heads) - 1}))
