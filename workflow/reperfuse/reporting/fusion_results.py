"""The fusion study's part of a page of results, as Markdown."""

from __future__ import annotations

from reperfuse.reporting import fusion_strata_tables as strata
from reperfuse.reporting import fusion_tables as fusion
from reperfuse.reporting import study_tables as tables
from reperfuse.reporting.fusion_view import FusionView
from reperfuse.reporting.fusion_words import LIMITS, READINGS, headline, lost


def body(view: FusionView) -> list[str]:
    """Return what stands between the title and what was assumed; a part that nothing fills is left out."""
    parts: dict[str, tuple[list[str], list[tables.Table]]] = {
        "What was found": (headline(view), []),
        "Beside the paper": (list(READINGS["paper"]), [fusion.paper_table(view)]),
        "Reconstruction": (lost(view), [fusion.reconstruction_table(view), fusion.by_contrast_table(view)]),
        "Number of contrasts": ([], [fusion.curve_table(view)]),
        "Parameters": ([], [fusion.parameters_table(view)]),
        "Comparisons": ([], [fusion.comparisons_table(view)]),
        "Strata": ([], [strata.sizes_table(view), strata.stability_table(view)]),
        "Phenotypes": (
            [],
            [
                strata.associations_table(view, "factor"),
                strata.associations_table(view, "variable"),
                strata.analyses_table(view),
                strata.posthoc_table(view),
                strata.loadings_table(view),
            ],
        ),
        "Other cohorts": ([], [strata.others_table(view)]),
        "Limitations": ([f"- {one}" for one in LIMITS], []),
    }
    lines = tables.markdown(fusion.left_out_tables(view)[0], view)
    for title, (said, shown) in parts.items():
        text = [line for table in shown for line in tables.markdown(table, view)]
        if said or text:
            lines += [f"## {title}", "", *(line for one in said for line in (one, "")), *text]
    return lines
