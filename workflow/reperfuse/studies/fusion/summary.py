"""What stands beside the paper, and what a reader has to know before the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reperfuse.evaluation.reported import Reported
from reperfuse.studies.fusion.names import MIRRORED_PCA, VOXEL_PCA
from reperfuse.studies.fusion.reconstructed import ALL
from reperfuse.studies.fusion.trials import BLOCK, first_of, n_contrasts, not_fitted

Row = dict[str, Any]
Section = Mapping[str, Any]
SOURCE = "Fusion of several contrasts, arXiv 2303.15963, doi 10.1016/j.inffus.2022.07.017"
COLUMNS: Mapping[str, Sequence[str]] = {
    "paper": "quantity configuration paper certain source ours ci_low ci_high ours_configuration note".split()
}
ACRONYMS = ("adc", "flair", "gre", "jac", "fa", "ndi", "cbf", "cbv", "mtt")
PAIRS = "pairs"
Best = Callable[..., Row]
# The paper gives a range over its pairs; both ends of ours stand beside it.
ENDS: Mapping[str, Best] = {"lowest pair": min, "highest pair": max}
PAPER_LIKE = "with skips, whose error does not measure the embedding"
HELD = "decoded from the embedding alone"
COUNTED = {"n_factors": "n_factors", "n_strata": "n_strata", "n_significant": "n_significant"}


def title_of(section: Section) -> str:
    """Return the study's title with what must be said of the data."""
    shown = " + ".join(
        one.upper() if one in ACRONYMS else one.replace("_", " ") for one in section["contrasts"]
    )
    what = f"One embedding from {shown}" if len(section["contrasts"]) > 1 else f"Embedding of {shown}"
    note = f" ({section['title_note']})" if section["title_note"] else ""
    return f"{what}, and what its strata mean{note}"


def pairs(names: Iterable[str], primary: str) -> list[tuple[str, str]]:
    """Return who is compared with whom, the declared comparison first.

    Declared is the network without skips against principal components of as many numbers, where those were made, and
    those of mirror images, too, before the plain ones: what these alone bring is no merit of a network. Then it
    against all else of the same contrasts, and of every other set the network without against that with skips.
    """
    known = list(names)
    first = [f"{primary}[{kind}]" for kind in (VOXEL_PCA, MIRRORED_PCA)]
    mine = [name for name in known if name.startswith(f"{primary}[")]
    found = (
        [
            (primary, name)
            for name in sorted(mine, key=lambda name: -first.index(name) if name in first else 1)
        ]
        if primary in known
        else []
    )
    others = [name for name in known if "[" not in name and name != primary and f"{name}[unet]" in known]
    return found + [(name, f"{name}[unet]") for name in others]


def beside_paper(
    paper: Iterable[Reported],
    metrics: Sequence[Row],
    models: Iterable[Mapping[str, Any]],
    parameters: Sequence[Row],
    strata: Mapping[str, Any],
    primary: str,
) -> list[Row]:
    """Return ``paper.tsv``: each number of the paper and what stands for it here.

    Parameters
    ----------
    paper : iterable of Reported
    metrics, parameters : sequence of mapping
        Rows of the tables.
    models : iterable of mapping
        Facts of models.
    strata : mapping
        ``strata-summary.json``.
    primary : str
        Configuration that strata are made from.
    """
    means = {
        (row["configuration"], row["metric"]): row
        for row in metrics
        if row["target"] == ALL and row["estimator"] == "fold_mean" and row["estimate"] is not None
    }
    sizes = {name: n_contrasts(facts) for name, facts in first_of(models).items()}
    costs = {row["configuration"]: row for row in parameters}
    rows: list[Row] = []
    for one in paper:
        head: Row = {"quantity": one.metric, "configuration": one.configuration, "paper": one.text}
        head |= {"certain": int(one.certain), "source": one.source, "ours_configuration": primary}
        if one.metric in COUNTED:
            rows.append({**head, "ours": strata.get(COUNTED[one.metric])})
        elif one.metric == "parameter_ratio":
            rows.append({**head, "ours": costs[BLOCK]["ratio"], "ours_configuration": BLOCK})
            note = "the whole network"
            rows.append({**head, "ours": costs.get(primary, {}).get("ratio"), "note": note})
        elif one.metric in ("code_length", "compression"):
            rows.append({**head, "ours": costs.get(primary, {}).get(one.metric)})
        else:
            for end, best in ENDS.items() if one.configuration == PAIRS else [(one.configuration, min)]:
                found = [_measured(one, suffix, best, means, sizes, primary) for suffix in ("[unet]", "")]
                shown = [mine for mine in found if mine] or [{"ours_configuration": None}]
                rows += [{**head, "configuration": end, **mine} for mine in shown]
    return rows


def in_paper(paper: Iterable[Reported]) -> Callable[[str, str, str], str]:
    """Return what gives the paper's number of a target, configuration and metric for ``metrics.tsv``, or nothing.

    Its errors are of all contrasts of a set; whether its networks had skips is not told apart, so that both have it.
    Of a pair that it does not name, the range over its pairs.
    """
    known = list(paper)

    def of(target: str, configuration: str, metric: str) -> str:
        contrasts, kind = configuration.partition("[")[0].split("+"), _kind(configuration)
        if target != ALL or kind not in ("", "[unet]"):
            return ""
        for one in known:
            if set(one.configuration.split("+")) == set(contrasts):
                if one.metric == metric:
                    return one.text
                if (one.metric, metric, one.kind) == ("cnr_loss", "cnr_change", "at most"):
                    return one.text.replace("≤ ", "≥ −")
        pair = (one.text for one in known if (one.configuration, one.metric) == (PAIRS, metric))
        return next(pair, "") if len(contrasts) == 2 else ""

    return of


def _measured(
    one: Reported,
    suffix: str,
    best_of: Best,
    means: Mapping[tuple[str, str], Row],
    sizes: Mapping[str, int],
    primary: str,
) -> Row:
    """Return our error of the pairs that the paper's row names; of all contrasts where none was fused in pairs."""
    note = PAPER_LIKE if suffix else HELD
    if one.configuration == PAIRS:
        names = [name for name, n in sizes.items() if n == 2 and _kind(name) == suffix]
        if not names:
            names, note = [primary + suffix], f"{note}; of all contrasts, since no pairs were fused"
    else:
        wanted = set(one.configuration.split("+"))
        names = [n for n in sizes if set(n.partition("[")[0].split("+")) == wanted and _kind(n) == suffix]
    metric, sign = ("cnr_change", -1) if one.metric == "cnr_loss" else (one.metric, 1)
    known = [means[name, metric] for name in names if (name, metric) in means]
    if not known:
        return {}
    best = best_of(known, key=lambda row: row["estimate"])
    limits = [best["ci_low"], best["ci_high"]][::sign]
    low, high = (None if limit is None else sign * limit for limit in limits)
    found: Row = {"ours": sign * best["estimate"], "ci_low": low, "ci_high": high, "note": note}
    return {**found, "ours_configuration": best["configuration"]}


def _kind(name: str) -> str:
    return "".join(name.partition("[")[1:])


def notices(
    section: Section, models: Sequence[Mapping[str, Any]], strata: Mapping[str, Any], left_out: Sequence[Row]
) -> list[str]:
    """Return what a reader has to know before the numbers."""
    found = []
    if len(section["contrasts"]) == 1:
        found.append(
            f"There is one contrast alone ({section['contrasts'][0]}): no fusion is tested by these data, only the "
            "network, the strata and what they mean."
        )
    if smooth := section["intensity"]["smooth_mm"]:
        found.append(
            f"Every image was smoothed first (SD {smooth:g} mm): R², MSE and CNR are of smoothed images, originals and "
            "reconstructions alike, and say nothing of finer detail."
        )
    missing = not_fitted(models)
    for why in dict.fromkeys(missing.values()):
        names = ", ".join(name for name, reason in missing.items() if reason == why)
        found.append(f"Not fitted in at least one fold: {names} ({why}).")
    found += [
        f"No network is kept for other cohorts: {one['not_frozen']}." for one in models if "not_frozen" in one
    ]
    if strata.get("n_strata") == 1:
        found.append(
            "No strata were found: all patients are in one, and nothing could be tested between strata."
        )
    if late := len({row["participant_id"] for row in left_out if row["stage"] == "image"}):
        found.append(f"Eligible patients left out for their images: {late}; see left-out.tsv.")
    return found
