"""Likelihood maps of held-out patients on the page of a study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reperfuse.core.tables import Row
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import Volume
from reperfuse.reporting.pages import fragment, is_page_name, number, to_float
from reperfuse.reporting.perfusion_figures import bleeding
from reperfuse.reporting.study_saliency import Cases
from reperfuse.reporting.voxel_view import VoxelView, largest

# A page of every patient's map could not be looked at: the largest haemorrhages, and the loudest false alarms.
MOST_WITH, MOST_WITHOUT = 8, 4
SUFFIX = "_likelihood.nii.gz"
SHOWN = ("PWI_s0", "PWI_brain", "PWI_gre", "PWI_ht", "PWI_covered")


def chosen(view: VoxelView) -> list[Row]:
    """Return whose maps are shown: who bled most, and of those without HT, of whom most was predicted."""
    bled = [row for row in view.of_chief if row.get("ht") == "1"]
    others = [row for row in view.of_chief if row.get("ht") == "0"]
    return largest(bled, "observed_ml", MOST_WITH) + largest(others, "predicted_ml", MOST_WITHOUT)


def read_likelihoods(
    view: VoxelView, maps: Iterable[Path], perfusion: Iterable[Path]
) -> dict[str, dict[str, Volume]]:
    """Return what each shown map is drawn on: participant → ``likelihood`` and images of the step `perfusion`.

    Parameters
    ----------
    view : VoxelView
    maps : iterable of Path
        ``…/sub-X_likelihood.nii.gz`` of every fold.
    perfusion : iterable of Path
        ``work/sub-X/PWI_….nii.gz``, of any patients; only those of shown patients are read.
    """
    likelihood = {path.name.removesuffix(SUFFIX): path for path in maps if path.name.endswith(SUFFIX)}
    images: dict[str, dict[str, Path]] = {}
    for path in perfusion:
        name = path.name.removesuffix(".nii.gz")
        if name in SHOWN:
            images.setdefault(path.parent.name, {})[name] = path
    names = [row["participant_id"] for row in chosen(view)]
    there = [name for name in names if name in likelihood]
    return {n: read_present({**images.get(n, {}), "likelihood": likelihood[n]}) for n in there}


class Maps(Cases):
    """The likelihood maps of a study's page, written to ``<results>/<study>/likelihood``; see `Cases`."""

    name = "likelihood"

    def html(self) -> Markup:
        """Write the pictures and return their part of the page; pictures of an earlier run are removed."""
        self.clear()
        rows = chosen(self.view) if isinstance(self.view, VoxelView) else []
        cases = [case for row in rows if (case := self._case(row))]
        return fragment("study_likelihood.html.j2", cases=cases, stamps=self.view.stamps)

    def _case(self, row: Row) -> dict[str, Any] | None:
        who = row["participant_id"]
        images = self.mapped.get(who, {})
        shown = bleeding(images, name=who, likelihood=images.get("likelihood"))
        if images.get("likelihood") is None or not shown:
            return None
        predicted = row.get("predicted_corrected_ml") or row.get("predicted_ml")
        return {
            "who": who,
            "href": f"{who}.html" if is_page_name(who) else "",
            "had": "HT" if row.get("ht") == "1" else "no HT",
            "grade": row.get("ecass", "") if row.get("ht") == "1" else "",
            "observed": number(row.get("observed_ml"), 2) if row.get("ht") == "1" else "",
            "predicted": number(predicted, 2),
            "within": number(row.get("auc"), 2) if to_float(row.get("auc")) is not None else "",
            "strips": [{"strip": one, "item": self.put(one.picture)} for one in shown],
        }
