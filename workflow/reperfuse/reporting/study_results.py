"""A study's rerun: ``python -m reperfuse.reporting.study_results FOLDER TARGET COMMAND [STUDY]``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from reperfuse.core.files import write_text
from reperfuse.core.version import VERSION
from reperfuse.reporting import fusion_results, severity_results
from reperfuse.reporting import study_listing as listing
from reperfuse.reporting import study_tables as tables
from reperfuse.reporting.fusion_view import FusionView, read_fusion_view
from reperfuse.reporting.pages import RESEARCH_USE
from reperfuse.reporting.severity_view import SeverityView, read_severity_view
from reperfuse.reporting.study_canvas import measure
from reperfuse.reporting.study_reading import CALIBRATED, POOLED
from reperfuse.reporting.study_view import StudyView, count, read_view
from reperfuse.reporting.study_words import external_sentences, power_sentences, primary_sentences

READERS: Mapping[str, Callable[[str], StudyView]] = {
    "severity": read_severity_view,
    "fusion": read_fusion_view,
}


def page(view: StudyView, command: str, study: str) -> str:
    """Return the page as Markdown; its numbers come from the study's tables alone."""
    summary = view.summary
    lines = [
        f"# {summary.get('title') or study}",
        "",
        f"Written by `{command}` with Reperfuse {VERSION}. {RESEARCH_USE}",
        "",
        *(line for stamp in view.stamps for line in (f"**{stamp}**", "")),
        *(line for notice in view.notices for line in (notice, "")),
        "## Cohort",
        "",
        _people(view),
        "",
        *_parts(view),
    ]
    for key, title in (("assumptions", "What was assumed"), ("sources", "Sources")):
        text = tables.markdown(listing.assumptions_table(summary.get(key) or {}, ""), view)
        lines += [f"## {title}", "", *text[2:]] if text else []
    return "\n".join(lines).rstrip() + "\n"


def _people(view: StudyView) -> str:
    n = f"{count(view.summary.get('n'))} patients"
    if isinstance(view, FusionView):  # which has no outcome
        return f"{n}."
    of = f" (`{view.target}`)" if view.target else ""
    return f"{n}, {count(view.summary.get('n_positive'))} with the outcome{of}."


def _parts(view: StudyView) -> list[str]:
    if isinstance(view, SeverityView):
        return severity_results.body(view)
    return fusion_results.body(view) if isinstance(view, FusionView) else _body(view)


def _body(view: StudyView) -> list[str]:
    metric = measure(view)
    lines = [
        *tables.markdown(listing.reasons_table(view), view),
        *tables.markdown(listing.selection_table(view), view),
        "## Primary comparison",
        "",
        " ".join(primary_sentences(view, metric)),
        "",
        " ".join(power_sentences(view)),
        "",
    ]
    parts = {
        "Configurations": [
            tables.paper_table(view),
            tables.measures_table(view, tables.DISCRIMINATION, "All measures, pooled (approximate 95 % CI)."),
            tables.variants_table(view),
        ],
        "Comparisons": [tables.comparisons_table(view)],
        "Calibration": [tables.measures_table(view, tables.CALIBRATION, CALIBRATED)],
        "External cohorts": tables.external_tables(view),
    }
    said = {"Configurations": [POOLED], "External cohorts": external_sentences(view)}
    for title, shown in parts.items():
        text = [line for table in shown for line in tables.markdown(table, view)]
        # How to read tables goes with them; who was scored is said even where nothing could be measured.
        if text or title == "External cohorts":
            text = [line for sentence in said.get(title, ()) for line in (sentence, "")] + text
        lines += [f"## {title}", "", *text] if text else []
    return [*lines, "## Warnings", "", *_flags(view)]


def _flags(view: StudyView) -> list[str]:
    raised = [row for row in view.flags if row.get("raised") == "1"]
    lines = [f"- {view.named(row.get('configuration', ''))}: {row.get('sentence', '')}" for row in raised]
    return [*lines, "", f"{len(view.flags) - len(raised)} of {len(view.flags)} checks raised nothing.", ""]


def main(folder: str, target: str, command: str, study: str = "") -> None:
    """Write the page of a study's folder."""
    name = study or Path(folder).name
    write_text(target, page(READERS.get(name, read_view)(folder), command, name))


if __name__ == "__main__":
    main(*sys.argv[1:])
