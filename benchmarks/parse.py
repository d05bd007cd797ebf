"""Claim: parsing the Snakefile costs under 1 s of CPU over Snakemake's own start, and imports no heavy library.

`snakemake --list` parses and does no more. On a cluster each job parses again, up to twice; it is given what
the main process has found out before: configuration, survey, digests of code. The floor is the same call for
an empty Snakefile. The heavy libraries counted are those in HEAVY that Snakemake does not import for itself.
Medians over fresh processes.
Run: python benchmarks/parse.py [patients]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from suite import Measured, report, run, snakemake, typical
from trees import CONFIG, make_tree

HEAVY = (
    "torch",
    "monai",
    "ants",
    "sklearn",
    "scipy",
    "statsmodels",
    "pandas",
    "matplotlib",
    "nibabel",
    "nilearn",
    "numpy",
)
LISTED = """
import contextlib, json, os, sys
from snakemake.cli import main
with contextlib.redirect_stdout(open(os.devnull, "w")), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(json.dumps(sorted(set(sys.modules))))
"""
EMPTY = ("--snakefile", "Empty")
REPEATS = 3


def cost(folder: Path, *arguments: str, **environment: str) -> float:
    """Return the median CPU seconds of a call that parses."""
    command = snakemake("--list", *arguments)
    return typical(run(command, folder, **environment).cpu_s for _ in range(REPEATS))


def heavy(folder: Path, *arguments: str, **environment: str) -> set[str]:
    """Return the heavy libraries that a process has imported after parsing."""
    command = [sys.executable, "-c", LISTED, *snakemake("--list", *arguments)[3:]]
    return set(HEAVY) & set(json.loads(run(command, folder, **environment).output.splitlines()[-1]))


def measure(n: int = 1106) -> list[Measured]:
    """Parse with a small and a large cohort, as the main process and as a job do."""
    rows, found = [], set()
    for size in (12, n):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_tree(folder / "bids", size)
            (folder / "Empty").touch()
            run(snakemake("--list", *CONFIG), folder)  # the first call stamps the files
            [plan] = folder.rglob("plan-*.json")
            as_job = {"REPERFUSE_PLAN": str(plan)}
            floor = cost(folder, *EMPTY)
            for what, mode, given in (
                ("main process, with its survey", (), {}),
                ("job", ("--mode", "remote"), as_job),
            ):
                cpu = cost(folder, *CONFIG, *mode, **given)
                rows.append(
                    Measured(
                        f"parsing, {what}", cpu, "s", size, "patients", cpu_s=cpu,
                        floor=floor, floor_is="Snakemake's own start with an empty Snakefile",
                        aim="ours-floor <= 1" if mode or size < n else "",
                    )
                )  # fmt: skip
            found = heavy(folder, *CONFIG, "--mode", "remote", **as_job) | heavy(folder, *CONFIG)
            allowed = heavy(folder, *EMPTY)
    rows.append(
        Measured(
            "heavy libraries that parsing imports", len(found - allowed), "libraries", n, "patients",
            floor=0, floor_is="none is needed", aim="ours <= 0", remark=", ".join(sorted(found - allowed)),
        )
    )  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(report(measure))
