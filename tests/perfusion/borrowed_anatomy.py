"""What the workflow finds of a bolus that was simulated in real anatomy, beside what was planted.

python tests/perfusion/borrowed_anatomy.py RESULTS TRUTH PAGE COMMAND
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from reperfuse.core.files import read_json, write_text  # noqa: E402
from reperfuse.imaging.lesion import dice  # noqa: E402
from reperfuse.imaging.reader import read_made  # noqa: E402

LIMITS = (4.0, 6.0, 8.0, 10.0)
LEAD = """# A simulated bolus in real anatomy

Written by `{command}`. **Semi-synthetic**: diffusion images and lesions are those of three real patients, the
perfusion series is computed, with delays planted around the real lesion, and named `desc-synth`. It shows that
the steps work on real heads, not how they do on a real bolus: no real 4-D series of stroke with known truth is
public.

| patient | Tmax above | found, ml | planted, ml | difference | Dice |
| --- | --- | --- | --- | --- | --- |
"""


def rows(results: Path, truth: Path) -> Iterator[str]:
    """Yield a line of the table for each patient and limit."""
    for folder in sorted(truth.glob("sub-*")):
        work = results / "work" / folder.name
        volumes = read_json(work / "perfusion.json")["facts"]["volumes_ml"]
        delay, late = read_made(folder / "J0_delay.nii.gz"), read_made(work / "PWI_late.nii.gz")
        for limit in LIMITS:
            planted = delay.data > limit
            ml, found = float(planted.sum()) * delay.voxel_ml, volumes[f"tmax{limit:g}"]
            share = f"{100 * (found / ml - 1):+.0f} %" if ml else "n/a"
            overlap = f"{dice(late.data >= limit, planted):.2f}"
            yield f"| {folder.name} | {limit:g} s | {found:.1f} | {ml:.1f} | {share} | {overlap} |"


def arteries(results: Path, truth: Path) -> Iterator[str]:
    """Yield a sentence for each patient about the voxels that were taken for an artery."""
    for folder in sorted(truth.glob("sub-*")):
        taken = read_made(results / "work" / folder.name / "PWI_aif.nii.gz").data > 0
        true = read_made(folder / "J0_aif.nii.gz").data > 0
        n = int(np.count_nonzero(taken & true))
        yield f"- {folder.name}: {n} of the {int(taken.sum())} voxels taken for an artery are the planted one's."


def main(results: Path, truth: Path, page: Path, command: str) -> None:
    """Write the page."""
    table, found = "\n".join(rows(results, truth)), "\n".join(arteries(results, truth))
    write_text(page, f"{LEAD.format(command=command)}{table}\n\n{found}\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4])
