"""The severity study's part of a page of results, as Markdown."""

from __future__ import annotations

from dataclasses import replace

from reperfuse.reporting import severity_tables as severity
from reperfuse.reporting import study_listing as listing
from reperfuse.reporting import study_tables as tables
from reperfuse.reporting.severity_maps import seen_summary_table
from reperfuse.reporting.severity_view import SeverityView
from reperfuse.reporting.severity_words import (
    CALIBRATED,
    LIMITS,
    against_volume,
    consistency_sentences,
    seen_sentences,
)
from reperfuse.reporting.study_reading import POOLED
from reperfuse.reporting.study_words import external_sentences, power_sentences, primary_sentences


def body(view: SeverityView) -> list[str]:
    """Return what stands between the title and what was assumed; a part that nothing fills is left out."""
    # Of the other measures it is not known what they are of: see the check.
    alike = replace(view, reported=[r for r in view.reported if r["metric"] == "auc"])
    parts: dict[str, tuple[list[str], list[tables.Table]]] = {
        "Primary comparison": ([" ".join([*primary_sentences(view, "AUC"), *power_sentences(view)])], []),
        "Each cross-validation": (
            [*against_volume(view), POOLED],
            [severity.crossval_table(view), *severity.against_tables(view)],
        ),
        "Beside the paper": ([], [tables.paper_table(view), severity.reported_table(alike)]),
        "By lesion volume": ([], [severity.volume_table(view)]),
        "Other cuts": ([], [severity.cuts_table(view)]),
        "Averages and consistency": (
            consistency_sentences(view),
            [
                severity.averages_table(view, view.primary, folded=False),
                severity.consistency_table(view, ours=False),
            ],
        ),
        "Calibration": ([], [tables.measures_table(view, tables.CALIBRATION, CALIBRATED)]),
        "External cohorts": (external_sentences(view), tables.external_tables(view.elsewhere())),
        "Ablations": ([], [severity.ablations_table(view)]),
        "Subgroups": ([], [listing.subgroups_table(view.bands(volume=False))]),
        "Where the network looked": (seen_sentences(view), [seen_summary_table(view)]),
        "Limitations": ([f"- {one}" for one in LIMITS], []),
    }
    lines = tables.markdown(severity.left_out_tables(view)[0], view)
    for title, (said, shown) in parts.items():
        text = [line for table in shown for line in tables.markdown(table, view)]
        if said or text:
            lines += [f"## {title}", "", *(line for one in said for line in (one, "")), *text]
    return lines
