"""What a network looked at, on the page of a study: a table, and pictures of single patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reperfuse.core.files import write_bytes
from reperfuse.core.tables import Row
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import Volume
from reperfuse.reporting.figures import Images, Picture, signed_pictures
from reperfuse.reporting.pages import fragment, is_page_name, number, to_float
from reperfuse.reporting.study_tables import Cell, Table, cell
from reperfuse.reporting.study_view import StudyView


def saliency_table(view: StudyView) -> Table:
    """Return each patient whose map was made, and what was measured of it."""
    rows = [
        [
            Cell(row["participant_id"]),
            Cell(row.get("visit", "")),
            Cell({"1": "yes", "0": "no"}.get(row.get("y_true", ""), "")),
            cell(row.get("y_score"), 2),
            Cell({"1": "right", "0": "wrong"}.get(row.get("correct", ""), "")),
            cell(row.get("stability"), 2),
            *(cell(row.get(key), 3) for key in ("share_in_lesion", "lesion_share", "share_outside_brain")),
        ]
        for row in view.saliency
    ]
    heads = "Patient|Visit|Outcome|Predicted|Prediction|Stability over folds|Share in the lesion|By chance"
    heads += "|Share outside the brain"
    return Table("Maps of the most certain predictions", heads.split("|"), rows, frozenset({1, 2, 4}))


def read_mapped(view: StudyView, folder: Path, shown: Iterable[Path]) -> dict[str, dict[str, Volume]]:
    """Return what each map is drawn on: file of a row → ``map``, ``adc``, ``brain``, ``lesion``.

    Parameters
    ----------
    view : StudyView
    folder : Path
        Of the maps.
    shown : iterable of Path
        ``work/sub-X/J0_adc.nii.gz`` and the like, of any patients; only those with a map are read.
    """
    known = by_name(shown)
    return {
        row["file"]: read_present(
            {
                **own_images(known, row["participant_id"], row["visit"], "adc", "brain", "lesion"),
                "map": folder / row["file"],
            }
        )
        for row in view.saliency
    }


def by_name(files: Iterable[Path]) -> dict[tuple[str, str], Path]:
    """Return files of any patients by participant_id and name."""
    return {(path.parent.name, path.name): path for path in files}


def own_images(known: Mapping[tuple[str, str], Path], who: str, visit: str, *names: str) -> dict[str, Path]:
    """Return those images of a patient's visit that are there."""
    return {name: known[key] for name in names if (key := (who, f"{visit}_{name}.nii.gz")) in known}


class Cases:
    """The pictures of a study's page, written where its maps are.

    Parameters
    ----------
    results : Path
        Folder of the results; the page is in its folder ``report``.
    study : str
        Name of the study's folder.
    view : StudyView
    mapped : mapping
        File of a row → images.
    """

    name = "saliency"

    def __init__(self, results: Path, study: str, view: StudyView, mapped: Mapping[str, Images]) -> None:
        self.results, self.folder, self.view, self.mapped = results, f"{study}/{self.name}", view, mapped
        self.written: list[Path] = []

    def clear(self) -> None:
        """Remove the pictures of an earlier run."""
        for old in sorted((self.results / self.folder).glob("*.webp")):
            old.unlink()

    def html(self) -> Markup:
        """Write the pictures and return their part of the page; pictures of an earlier run are removed."""
        self.clear()
        cases = [case for row in self.view.saliency if (case := self._case(row))]
        return fragment("study_saliency.html.j2", cases=cases, stamps=self.view.stamps)

    def _case(self, row: Row) -> dict[str, Any] | None:
        name = row.get("file", "").removesuffix(".nii.gz")
        drawn = signed_pictures(name, self.mapped.get(row.get("file", ""), {}))
        if drawn is None:
            return None
        who = row["participant_id"]
        return {
            "who": who,
            "href": f"{who}.html" if is_page_name(who) else "",
            "visit": row.get("visit", ""),
            "had": {"1": "had the outcome", "0": "did not have the outcome"}.get(row.get("y_true", ""), ""),
            "score": number(row.get("y_score"), 2),
            "verdict": {"1": "right", "0": "wrong"}.get(row.get("correct", ""), ""),
            "configuration": self.view.named(row.get("configuration", "")),
            "stability": number(row.get("stability"), 2)
            if to_float(row.get("stability")) is not None
            else "",
            "plain": self.put(drawn.plain),
            "covered": self.put(drawn.covered),
            "limit": f"{drawn.limit:.2g}",
            "file": f"{self.folder}/{row['file']}",
        }

    def put(self, picture: Picture) -> dict[str, Any]:
        """Write a picture, and return what the macro ``stack`` takes."""
        target = self.results / self.folder / picture.name
        write_bytes(target, picture.content)
        self.written.append(target)
        layers = [(name, Markup(path)) for name, path in picture.layers if path]
        return {"href": f"../{self.folder}/{picture.name}", "picture": picture, "layers": layers}
