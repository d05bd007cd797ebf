"""A workspace with its own copy of the workflow and a small cohort, for tests that run Snakemake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reperfuse.core.settings import fill, load_schema
from reperfuse.phantom.dataset import write_cohort

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "workflow", "scripts", "envs", "profiles", "requirements", "config", "resources")
SMALL = {"shape": [32, 36, 12], "spacing_mm": [6.5, 6.5, 12.0], "frames": [40, 41]}
CONFIG = """\
bids_dir: bids
output_dir: results
normalise: {resolution_mm: 4, affine_iterations: [20, 10], syn_iterations: [4]}
"""
# Under `studies:`, at the smallest size: one network of a few hundred weights.
SEVERITY = """\
  severity:
    n_folds: 2
    repeats: 1
    inner_folds: 2
    grid: {shape: [4, 10, 10], spacing_mm: [40, 20, 20]}
    cell_mm: 24
    network: {widths: [4, 4, 4, 8], heads: [1, 1, 1, 1], stem_kernel: [1, 3, 3], blocks: 1}
    training: {epochs: 1}
    networks: [tractnet]
    saliency: {patients: 2, shown: 2, randomised: 1}
    statistics: {bootstrap: 20, swaps: 20}
"""
FUSION = """\
  fusion:
    fewest: 4
    contrasts: [adc, jac]
    sizes: []
    n_folds: 2
    grid: {shape: [64, 64, 64], spacing_mm: [4, 4, 4]}
    network: {widths: [2, 2, 4], code: 4, groups: 2}
    training: {epochs: 1, batch: 4}
    baselines: []
    strata: {damping: [0.5], preference: [-1, 0.5], resamples: 5, draws: 20}
    phenotypes: {variables: [memory_*, motor_function_*], draws: 20}
    statistics: {bootstrap: 20, permutations: 20}
"""
# Beside `bids_dir`: the columns of which the study `fusion` makes factors.
MEASURES = """\
clinical:
  columns:
    memory_*: {kind: number, available_at: none}
    motor_function_*: {kind: number, available_at: none}
"""


def write_patients(bids: Path, n: int, **changed: Any) -> None:
    """Write the first ``n`` patients of one cohort; another ``seed`` gives another cohort."""
    settings = fill({}, load_schema(ROOT / "workflow/schemas", "phantom"))
    given = {**settings, **SMALL, "n": n, "left_before_j1": 0.0, **changed}
    write_cohort(bids, bids.with_name(f"{bids.name}-truth"), **given)


@dataclass
class Workspace:
    """A folder with the workflow, a cohort under ``bids`` and results under ``results``.

    Parameters
    ----------
    path : Path
    environment : mapping
        Variables that Snakemake gets beside those of the tests.
    """

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def snakemake(self, *arguments: str, ok: bool = True) -> str:
        """Run Snakemake and return what it printed."""
        command = [sys.executable, "-m", "snakemake", "--configfile", "config.yaml", *arguments]
        done = subprocess.run(
            command,
            cwd=self.path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": "", **self.environment},
            check=False,
        )
        text = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, text
        return text

    def would_run(self) -> Counter[str]:
        """Return how many jobs of each rule a run would start."""
        return self.jobs("--dry-run", "--cores", "1")

    def run(self) -> Counter[str]:
        """Run everything; return how many jobs of each rule were run."""
        return self.jobs("--cores", "2")

    def jobs(self, *arguments: str) -> Counter[str]:
        text = self.snakemake(*arguments)
        table = re.search(r"Job stats:\n.*\n[- ]+\n((?:\w+ +\d+\n)+)", text)
        found = dict(re.findall(r"(\w+) +(\d+)", table[1])) if table else {}
        return Counter({name: int(n) for name, n in found.items() if name not in ("total", "all")})

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the workflow."""
        path = self.path / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


def copy_workflow(folder: Path) -> None:
    """Copy what a clone holds, with new dates as a clone has."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, folder / part, copy_function=shutil.copy, ignore=ignore)
        else:
            shutil.copy(ROOT / part, folder / part)
    (folder / "config.yaml").write_text(CONFIG)
