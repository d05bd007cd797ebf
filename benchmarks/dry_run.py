"""Claim: a dry run is linear, costs at most 1.3 ms of CPU and 17 KB per job, and plans 10,000 patients in 2 minutes.

The floor is a Snakefile with the same jobs, records and constant params, but nothing of this workflow. The
peer is the same with every image declared as an output of its step, as a workflow usually does. Each plan is
made in a fresh process, nothing made yet, after a first call that stamps the files; medians, except for the
largest cohort. The cost of a job is the slope between the two largest cohorts.
Run: python benchmarks/dry_run.py [patients]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from suite import Measured, Usage, report, typical
from trees import bare_snakefile, make_tree, plan, tell_outcomes

from reperfuse.cohort import layout

# How many images a step writes of a patient who has everything.
IMAGES = {"prepare": 14, "register": 5, "normalise": 5, "lesions": 10, "perfusion": 26}
DECLARED = {step: [f"{step}-{i}" for i in range(n)] for step, n in IMAGES.items()}
BARE = ("--snakefile", "Snakefile", "--quiet", "all")
FLOOR_IS = "Snakemake's own: the same jobs and records in a bare Snakefile"
PEER_IS = "a bare Snakefile that declares every image as an output"


def costs(n: int, repeats: int, *, peer: bool) -> dict[str, tuple[float, float]]:
    """Return CPU seconds and peak KB of each dry run of a cohort."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tree(folder / "bids", n)
        tell_outcomes(folder / "bids", n)
        (folder / "s.py").touch()
        plan(folder, "--list")
        found = {"ours": [plan(folder, "--quiet", "all") for _ in range(repeats)]}
        (folder / "Snakefile").write_text(bare_snakefile(n))
        found["floor"] = [plan(folder, *BARE) for _ in range(repeats)]
        if peer:
            (folder / "Snakefile").write_text(bare_snakefile(n, DECLARED))
            found["peer"] = [plan(folder, *BARE) for _ in range(repeats)]
    return {what: middle(runs) for what, runs in found.items()}


def middle(runs: list[Usage]) -> tuple[float, float]:
    """Return the median CPU seconds and peak KB."""
    return typical(one.cpu_s for one in runs), typical(one.peak_kb for one in runs)


def measure(n: int = 1000) -> list[Measured]:
    """Plan cohorts of a tenth, half, one and ten times ``n`` patients."""
    sizes = (n // 10, n // 2, n, 10 * n)
    found = {size: costs(size, 3 if size < n else 1, peer=size in (n // 10, n)) for size in sizes}
    rows = [
        Measured(
            "dry run, nothing made yet", cost["ours"][0], "s", size, "patients", cpu_s=cost["ours"][0],
            peer=cost.get("peer", (None,))[0], peer_is=PEER_IS if "peer" in cost else "",
            floor=cost["floor"][0], floor_is=FLOOR_IS, aim="ours <= 120" if size == 10 * n else "",
            remark=f"{cost['ours'][1] / 1024:.0f} MB at its peak",
        )
        for size, cost in found.items()
    ]  # fmt: skip

    def slope(what: str, quantity: int, low: int, high: int) -> float:
        jobs = len(layout.AFTER) * (high - low)
        return (found[high][what][quantity] - found[low][what][quantity]) / jobs

    small, large = (n // 10, n), (n, 10 * n)
    cpu = found[10 * n]["ours"][0]
    for name, quantity, scale, unit, limit in (
        ("dry run, CPU of a job", 0, 1000.0, "ms", "1.3"),
        ("dry run, memory of a job", 1, 1.0, "KB", "17"),
    ):
        rows.append(
            Measured(
                name, scale * slope("ours", quantity, *large), unit, 10 * n, "patients", cpu_s=cpu,
                peer=scale * slope("peer", quantity, *small), peer_is=f"{PEER_IS}, up to {n} patients",
                floor=scale * slope("floor", quantity, *large), floor_is=FLOOR_IS, aim=f"ours <= {limit}",
            )
        )  # fmt: skip
    bend = slope("ours", 0, *large) / slope("ours", 0, *small)
    own = slope("floor", 0, *large) / slope("floor", 0, *small)
    rows.append(
        Measured(
            "dry run, CPU of a job among many by that of a job among few", bend, "×", 10 * n, "patients",
            cpu_s=cpu, floor=own, floor_is="the same of Snakemake alone", aim="ours <= 1.2",
        )
    )  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(report(measure))
