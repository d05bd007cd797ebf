"""Claim: indexing 1,106 patients with 8 images each takes under 3 s.

Times this package's index and bids2table's, each in a fresh process on the same tree of small files with a
sidecar each, and prints both and their ratio. Run: python benchmarks/indexing.py [patients]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = (
    *(
        "01/dwi/{0}_ses-01_ADC",
        "01/dwi/{0}_ses-01_trace",
        "01/dwi/{0}_ses-01_dwi",
        "01/anat/{0}_ses-01_FLAIR",
    ),
    *(
        "01/anat/{0}_ses-01_T1w",
        "02/dwi/{0}_ses-02_ADC",
        "02/dwi/{0}_ses-02_trace",
        "02/anat/{0}_ses-02_T2starw",
    ),
)
OURS = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from reperfuse.cohort.index import find_sessions, scan
from reperfuse.core.settings import fill, load_schema
images = fill({}, load_schema(Path(sys.argv[2]) / "schemas", "images"))
start = time.perf_counter()
root = Path(sys.argv[1])
patterns = {k: v for k, v in images.items() if k != "select"}
index = scan(root, images=patterns, select={}, sessions=dict(zip(("J0", "J1"), find_sessions(root))))
print(index.n_files, time.perf_counter() - start)
"""
PEER = """
import sys, time
from bids2table import index_dataset
start = time.perf_counter()
table = index_dataset(sys.argv[1])
print(table.num_rows, time.perf_counter() - start)
"""


def make_tree(root: Path, n: int) -> None:
    """Write a BIDS tree of one-kilobyte files that are no pointers."""
    (root / "dataset_description.json").write_text('{"Name": "tree", "BIDSVersion": "1.11.1"}')
    for i in range(n):
        subject = f"sub-{i:05d}"
        for pattern in IMAGES:
            path = root / subject / f"ses-{pattern.format(subject)}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\x1f\x8b" + path.name.encode() * 40)
            path.with_name(path.name.replace(".nii.gz", ".json")).write_text("{}")


def timed(code: str, root: Path) -> tuple[int, float]:
    """Return how many images a fresh process indexed, and its seconds."""
    command = [sys.executable, "-c", code, str(root), str(ROOT / "workflow")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(shown[0]), float(shown[1])


def main(n: int = 1106) -> None:
    """Print both times."""
    with tempfile.TemporaryDirectory() as folder:
        make_tree(Path(folder), n)
        best = {
            name: min(timed(code, Path(folder)) for _ in range(3))
            for name, code in (("ours", OURS), ("peer", PEER))
        }
    for name, (count, seconds) in best.items():
        print(f"{name}: {count} images in {seconds:.2f} s")
    print(f"ratio ours / bids2table: {best['ours'][1] / best['peer'][1]:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
