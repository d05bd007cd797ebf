"""Grad-CAM of single patients on the severity study's page."""

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
from reperfuse.reporting.study_saliency import Cases
from reperfuse.reporting.study_view import StudyView

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
    known = {(path.parent.name, path.name): path for path in files}
    common = {name: folder / file for name, file in TEMPLATE.items() if (folder / file).is_file()}
    found = {}
    for row in shown(view):
        own = {
            name: known[key]
            for name in (*UNDER, "brain", "lesion")
            if (key := (row["participant_id"], f"{VISIT}_{name}.nii.gz")) in known
        }
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
