"""The page of a rerun on real data: ``python -m reperfuse.reporting.results RESULTS PAGE COMMAND [REFERENCE]``."""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from reperfuse.core.files import read_json, write_text
from reperfuse.core.tables import Row, read_table
from reperfuse.core.version import VERSION

COLUMNS = ("participant_id", "session_id", "criterion", "volume_ml", "n_components", "side", "dice_given")
# Cohorts above this are summed up rather than listed.
MOST_LISTED = 20


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> list[str]:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(str(cell) or 'n/a' for cell in line)} |" for line in lines] + [""]


def compared(lesions: Sequence[Row], reference: Sequence[Row]) -> list[str]:
    """Return measured values beside known ones."""
    found = {(row["participant_id"], row["criterion"]): row for row in lesions}
    rows = []
    for known in reference:
        row = found.get((known["participant_id"], known["criterion"]), {})
        measured = row.get(known["quantity"], "")
        rows.append(
            [
                known["participant_id"],
                known["criterion"],
                known["quantity"],
                measured,
                known["value"],
                known["source"],
            ]
        )
    header = ("participant", "criterion", "quantity", "measured", "known", "where the known value is from")
    return ["## Beside known values", "", *table(rows, header)]


def listed(lesions: Sequence[Row]) -> list[str]:
    """Return every row of a small cohort, or quartiles and sides of a large one, for each criterion."""
    if len({row["participant_id"] for row in lesions}) <= MOST_LISTED:
        return ["## Lesions", "", *table([[row[column] for column in COLUMNS] for row in lesions], COLUMNS)]
    rows = []
    for criterion in sorted({row["criterion"] for row in lesions}):
        mine = [row for row in lesions if row["criterion"] == criterion]
        volumes = [float(row["volume_ml"]) for row in mine]
        low, middle, high = statistics.quantiles(volumes, n=4)
        sides = Counter(row["side"] or "n/a" for row in mine)
        text = ", ".join(f"{side} {n}" for side, n in sorted(sides.items()))
        rows.append([criterion, len(mine), *(f"{v:.4g}" for v in (low, middle, high, max(volumes))), text])
    return [
        "## Lesions",
        "",
        *table(
            rows, ("criterion", "n", "first quartile", "median", "third quartile", "largest (ml)", "side")
        ),
    ]


def heaviest(loads: Sequence[Row]) -> list[str]:
    """Return how many lesions have their largest part in each region of each atlas."""
    best: dict[tuple[str, str, str], Row] = {}
    for row in loads:
        key = (row["participant_id"], row["visit"], row["atlas"])
        if key not in best or float(row["volume_ml"]) > float(best[key]["volume_ml"]):
            best[key] = row
    counts = Counter(
        (row["atlas"], row["label"], row["name"], row["side"])
        for row in best.values()
        if float(row["volume_ml"]) > 0
    )
    rows = [
        [*region, n] for region, n in sorted(counts.items(), key=lambda item: (item[0][0], int(item[0][1])))
    ]
    return (
        [
            "## Where most of the lesion lies",
            "",
            *table(rows, ("atlas", "label", "region", "side", "lesions")),
        ]
        if rows
        else []
    )


def page(results: Path, command: str, reference: Sequence[Row]) -> str:
    """Return the page as Markdown; numbers come from the tables under ``results`` alone."""
    lesions, loads = read_table(results / "lesions.tsv"), read_table(results / "loads.tsv")
    summary = read_json(results / "work/summary.json")
    stages = [[stage["label"], stage["n"]] for stage in summary["flow"]]
    units = [row for row in read_table(results / "cohort/quality.tsv") if row["adc_unit"]][:MOST_LISTED]
    shown = ("participant_id", "session_id", "adc_unit", "adc_median", "evidence", "brain_ml", "brain_method")
    lines = [
        f"# {results.name}",
        "",
        f"Written by `{command}` with Reperfuse {VERSION}. Research use only, not a medical device.",
        "",
        *table(stages, ("patients", "n")),
        *(compared(lesions, reference) if reference else []),
        *listed(lesions),
        *(
            ["## ADC units", "", *table([[row[name] for name in shown] for row in units], shown)]
            if units
            else []
        ),
        *heaviest(loads),
    ]
    return "\n".join(lines)


def main(results: str, target: str, command: str, reference: str = "") -> None:
    """Write the page."""
    write_text(target, page(Path(results), command, read_table(reference) if reference else []))


if __name__ == "__main__":
    main(*sys.argv[1:])
