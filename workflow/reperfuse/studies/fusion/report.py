"""What the study says of its models: every table, its summary, its assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reperfuse.evaluation.reported import PaperTable
from reperfuse.studies.fusion import judge, summary, trials
from reperfuse.studies.fusion.names import primary as primary_of
from reperfuse.studies.fusion.reconstructed import errors

Row = dict[str, Any]
COLUMNS: Mapping[str, Sequence[str]] = {**judge.COLUMNS, **trials.COLUMNS, **summary.COLUMNS}


@dataclass(frozen=True)
class Judged:
    """Tables with their columns, summary and assumptions."""

    tables: Mapping[str, tuple[list[Row], Sequence[str]]]
    summary: Row
    assumptions: Row


def judged(
    rows: Iterable[Mapping[str, str]],
    section: Mapping[str, Any],
    *,
    models: Sequence[Mapping[str, Any]],
    manifest: Mapping[str, Any],
    images: Mapping[str, str],
    strata: Mapping[str, Any],
    stability: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    paper: PaperTable,
    assumed: Mapping[str, Any],
) -> Judged:
    """Return every table but those of strata, the summary and the assumptions.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of ``reconstruction.tsv`` of every model.
    section : mapping
        ``studies.fusion``.
    models : sequence of mapping
        Facts of every model.
    manifest : mapping
        Of the main cohort.
    images : mapping
        participant_id → why nothing of the patient could be shown to a network.
    strata : mapping
        ``strata-summary.json``.
    stability, others : sequence of mapping
        Rows of ``stability.tsv`` and of ``strata-others.tsv``; of the latter, those with ``reason`` were left out.
    paper : PaperTable
    assumed : mapping
        Values in force that no paper states.
    """
    found = errors(rows)
    statistics, level = section["statistics"], section["statistics"]["level"]
    primary = primary_of(section).name
    placed = manifest["folds"][trials.STUDY]["rows"]
    metrics, by_fold = judge.measured(found, summary.in_paper(paper.entries), level=level)
    subjects = judge.by_subject(found)
    made: dict[str, list[Row]] = {
        "metrics": metrics,
        "metrics-by-fold": by_fold,
        "metrics-by-subject": subjects,
        "flags": judge.flags(subjects, mse_flags=statistics["mse_flags"], cnr_drop=statistics["cnr_drop"]),
        "comparisons": judge.compared(
            found,
            summary.pairs(dict.fromkeys(row["configuration"] for row in metrics), primary),
            {row["participant_id"]: str(row["group"]) for row in placed},
            level=level,
            draws=statistics["bootstrap"],
            salt=section["salt"],
        ),
        "parameters": trials.parameters(models),
        "contrasts-curve": trials.curve(metrics, models, stability),
        "training": trials.training(models),
        "leakage": trials.leakage(models),
        "left-out": trials.left_out(models, manifest, images, [row for row in others if row.get("reason")]),
    }
    made["paper"] = summary.beside_paper(paper.entries, metrics, models, made["parameters"], strata, primary)
    said: Row = {
        "title": summary.title_of(section),
        "n": len({one.participant_id for one in found if one.held_out}),
        "contrasts": list(section["contrasts"]),
        "chief": primary,
        "spacing_mm": list(section["grid"]["spacing_mm"]),
        "primary_test": "corrected_t",
        "metric": "r2",
        "mse_flags": list(statistics["mse_flags"]),
        "cnr_drop": statistics["cnr_drop"],
        "loading": section["phenotypes"]["loading"],
        "notices": summary.notices(section, models, strata, made["left-out"]),
        "stamps": [section["title_note"]] if section["title_note"] else [],
        "sources": {"paper": summary.SOURCE},
        "assumptions": dict(assumed),
    }
    return Judged(
        {name: (mine, COLUMNS[name]) for name, mine in made.items()},
        said,
        {"study": trials.STUDY, "assumed": dict(assumed)},
    )
