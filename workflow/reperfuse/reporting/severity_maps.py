"""Where the network looked, on the severity study's page: pictures of single patients, and tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reperfuse.core.tables import Row
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import Volume
from reperfuse.reporting.heat import UNDER, gradient, heat_pictures
from reperfuse.reporting.pages import fragment, is_page_name, number, to_float
from reperfuse.reporting.severity_view import SeverityView
from reperfuse.reporting.study_saliency import Cases, by_name, own_images
from reperfuse.reporting.study_tables import Cell, Table, cell, stacked
from reperfuse.reporting.study_view import StudyView, readable

VISIT = "J0"
END = "_map.nii.gz"
# What a study in the template leaves beside its maps, in place of the patient's own images.
TEMPLATE = {"template": "template_image.nii.gz", "brain": "template_brain.nii.gz"}


def shown(view: StudyView) -> list[Row]:
    """Return the rows of patients who are drawn: the most certain right predictions, then the wrong ones."""
    rows = [row for row in view.saliency if row.get("shown") == "1"]
    return sorted(
        rows, key=lambda r: (r.get("correct") != "1", -abs((to_float(r.get("y_score")) or 0.5) - 0.5))
    )


def read_maps(view: StudyView, folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Volume]]:
    """Return what each map is drawn on: file of a row → ``map``, the image below it, ``brain``, ``lesion``.

    Parameters
    ----------
    view : StudyView
    folder : Path
        Of the maps.
    files : iterable of Path
        ``work/sub-X/J0_trace.nii.gz`` and the like, of any patients; only those of shown patients are read.
    """
    known = by_name(files)
    common = {name: folder / file for name, file in TEMPLATE.items() if (folder / file).is_file()}
    found = {}
    for row in shown(view):
        own = own_images(known, row["participant_id"], VISIT, *UNDER, "brain", "lesion")
        if common:
            lesion = folder / row["file"].replace(END, "_lesion.nii.gz")
            own = {**common, **({"lesion": lesion} if lesion.is_file() else {})}
        found[row["file"]] = read_present({**own, "map": folder / row["file"]})
    return found


class Looks(Cases):
    """The pictures of where the network looked, written where its maps are; see `Cases`."""

    def html(self) -> Markup:
        """Write the pictures and return their part of the page; pictures of an earlier run are removed."""
        self.clear()
        cases = [case for row in shown(self.view) if (case := self._case(row))]
        return fragment("study_gradcam.html.j2", cases=cases, stamps=self.view.stamps, gradient=gradient())

    def _case(self, row: Row) -> dict[str, Any] | None:
        name = row.get("file", "").removesuffix(".nii.gz")
        drawn = heat_pictures(name, self.mapped.get(row.get("file", ""), {}))
        if drawn is None:
            return None
        who = row["participant_id"]
        return {
            "who": who,
            "href": f"{who}.html" if is_page_name(who) else "",
            "had": {"1": "non-minor", "0": "minor"}.get(row.get("y_true", ""), ""),
            "score": number(row.get("y_score"), 2),
            "verdict": {"1": "right", "0": "wrong"}.get(row.get("correct", ""), ""),
            "configuration": self.view.named(row.get("configuration", "")),
            "stability": number(row.get("stability"), 2)
            if to_float(row.get("stability")) is not None
            else "",
            "pointing": {"1": "points at the lesion", "0": "points elsewhere"}.get(
                row.get("pointing_hit", ""), ""
            ),
            "title": drawn.title,
            "plain": self.put(drawn.plain),
            "covered": self.put(drawn.covered),
            "file": f"{self.folder}/{row['file']}",
        }


def seen_table(view: SeverityView) -> Table:
    """Return each patient whose map was made, and what was measured of it."""
    words = {"1": "yes", "0": "no"}
    rows = [
        [
            Cell(r["participant_id"]),
            Cell(r.get("fold", "")),
            Cell(words.get(r.get("y_true", ""), "")),
            cell(r.get("y_score"), 2),
            Cell({"1": "right", "0": "wrong"}.get(r.get("correct", ""), "")),
            Cell(words.get(r.get("pointing_hit", ""), "")),
            *(
                cell(r.get(key), digits) if r.get(key) else Cell("")
                for key, digits in (
                    ("pointing_chance", 3), ("energy", 3), ("energy_chance", 3),
                    ("share_outside_brain", 3), ("stability", 2),
                )
            ),
        ]
        for r in view.saliency
    ]  # fmt: skip
    heads = "Patient|Fold|Non-minor|Predicted|Prediction|Points at the lesion|By chance|Energy in the lesion|By chance"
    heads += "|Outside the brain|Stability"
    return Table("Each patient's map", heads.split("|"), rows, frozenset({1, 2, 4, 5}), folded=True)


def seen_summary_table(view: SeverityView) -> Table:
    """Return the mean of each measure beside chance."""
    names = {
        "pointing_hit": "strongest place in or near the lesion",
        "energy": "share of the map in the lesion",
        "share_outside_brain": "share of the map outside the brain",
        "stability": "correlation between the networks of a fold",
    }
    compared = {"difference": "difference", "ratio": "ratio", "mean": "mean"}
    rows = [
        [
            Cell(names.get(r["measure"], readable(r["measure"]))),
            cell(r.get("n"), 0),
            cell(r.get("mean"), 3),
            cell(r.get("chance"), 3) if r.get("chance") else Cell(""),
            Cell(compared.get(r.get("compared", ""), "")),
            stacked({**r, "estimate": r.get("value")}, 3),
        ]
        for r in view.saliency_summary
        if to_float(r.get("n"))
    ]
    heads = ("Measure", "Patients", "Mean", "By chance", "Compared as", "Value (95 % CI)")
    return Table("What the maps show, beside chance", heads, rows, frozenset({4}))
