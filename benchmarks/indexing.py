"""Claim: indexing 1,106 patients with 8 images each takes under 3 s, and grows in proportion.

The peer is bids2table, which lists files and their entities; ours also finds out of each file whether its
content is there and which stamp it has. The floor reads the names and sizes in every folder (`os.scandir`)
and nothing else. Each runs in fresh processes on the same tree of small files with a sidecar each; CPU
seconds without the imports, medians.
Run: python benchmarks/indexing.py [patients]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from suite import ROOT, Measured, report, run, typical
from trees import IMAGES, make_tree

OURS = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from reperfuse.cohort.index import find_sessions, scan
from reperfuse.core.settings import fill, load_schema
images = fill({}, load_schema(Path(sys.argv[2]) / "schemas", "images"))
start = time.process_time()
root = Path(sys.argv[1])
patterns = {k: v for k, v in images.items() if k != "select"}
index = scan(root, images=patterns, select={}, sessions=dict(zip(("J0", "J1"), find_sessions(root))))
print(index.n_files, time.process_time() - start)
"""
PEER = """
import sys, time
from bids2table import index_dataset
start = time.process_time()
table = index_dataset(sys.argv[1])
print(table.num_rows, time.process_time() - start)
"""
FLOOR = """
import os, sys, time
def walk(folder):
    n = 0
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            n += walk(entry.path)
        else:
            entry.stat()
            n += entry.name.endswith(".nii.gz")
    return n
start = time.process_time()
n = walk(sys.argv[1])
print(n, time.process_time() - start)
"""


def timed(code: str, root: Path, n: int, repeats: int = 3) -> float:
    """Return the median CPU seconds of fresh processes that each found every image."""
    command = [sys.executable, "-c", code, str(root), str(ROOT / "workflow")]
    shown = [run(command, root).output.split() for _ in range(repeats)]
    if any(int(found) != n * len(IMAGES) for found, _ in shown):
        raise SystemExit(f"found {shown}, not {n * len(IMAGES)} images")
    return typical(float(seconds) for _, seconds in shown)


def measure(n: int = 1106) -> list[Measured]:
    """Index trees of several sizes; the claim is about the first."""
    rows = []
    for size in (n, n // 4, 3 * n):
        with tempfile.TemporaryDirectory() as folder:
            make_tree(Path(folder), size)
            ours, peer, floor = (timed(code, Path(folder), size) for code in (OURS, PEER, FLOOR))
        rows.append(
            Measured(
                "index of the dataset", ours, "s", size, "patients", cpu_s=ours,
                peer=peer, peer_is="bids2table",
                floor=floor, floor_is="names and sizes of all files, `os.scandir` alone",
                aim="ours <= 3" if size == n else "",
            )
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(report(measure))
