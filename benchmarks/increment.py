"""Claim: one patient added to 1,106 finished ones is planned in under 15 s of CPU, and only what is new would run.

The finished cohort is fabricated: every record has the key that it would have, and Snakemake remembers them
as made (`--touch`). Then patients are added, and a dry run is timed in fresh processes. Counted are the jobs
of finished patients, and of chunks without a new one, that the plan holds: there must be none. The floor is
Snakemake's own: a bare Snakefile with the same jobs and records, finished and extended in the same way.
Run: python benchmarks/increment.py [patients]
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from suite import Measured, report, typical
from trees import bare_snakefile, finish, finish_bare, make_tree, plan, tell_outcomes

ADDED = (0, 1, 10, 100)
REPEATS = 3
BARE = ("--snakefile", "Snakefile")
FLOOR_IS = "Snakemake's own: a bare Snakefile with the same jobs, finished and extended in the same way"
JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)


def jobs(output: str) -> list[tuple[str, str]]:
    """Return rule and owner of each job that a dry run lists; the cohort's have the owner ``cohort``."""
    found = []
    for rule, about in JOB.findall(output):
        owner = re.search(r"wildcards: (?:sub|chunk|part|external)=(\S+)", about)
        found.append((rule, owner[1] if owner else "cohort"))
    return found


def needless(planned: list[tuple[str, str]], n: int) -> list[str]:
    """Return jobs of finished patients, and chunks that are made again although no new patient is in them."""
    old = [f"{rule} of {owner}" for rule, owner in planned if owner.startswith("sub-") and int(owner[4:]) < n]
    chunks = [owner for rule, owner in planned if rule == "embed"]
    new = {owner for _, owner in planned if owner.startswith("sub-") and int(owner[4:]) >= n}
    return old + chunks[len(new) :]  # each new patient is in one chunk


def told(planned: list[tuple[str, str]]) -> str:
    """Return the jobs of a plan by rule."""
    counts = Counter(rule for rule, _ in planned if rule != "all")
    return ", ".join(rule if n == 1 else f"{n} {rule}" for rule, n in sorted(counts.items()))


def measure(n: int = 1106) -> list[Measured]:
    """Finish a cohort, then add to it; the claim is about the first patient added."""
    rows: list[Measured] = []
    extra: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        ours, bare = Path(name) / "ours", Path(name) / "bare"
        ours.mkdir()
        bare.mkdir()
        make_tree(ours / "bids", n)
        tell_outcomes(ours / "bids", n)
        finish(ours)
        finish_bare(bare, n)
        for more in ADDED:
            make_tree(ours / "bids", more, n)
            tell_outcomes(ours / "bids", n + more)
            (bare / "Snakefile").write_text(bare_snakefile(n + more))
            plan(ours, "--quiet", "all")  # the first call stamps the new files
            runs = [plan(ours) for _ in range(REPEATS)]
            planned = jobs(runs[0].output)
            if bool(planned) != bool(more):
                raise SystemExit(f"{more} patients added, planned: {told(planned) or 'nothing'}")
            extra = needless(planned, n) if more == 1 else extra
            cpu = typical(one.cpu_s for one in runs)
            rows.append(
                Measured(
                    f"dry run with patients added to {n} finished", cpu, "s", more, "added", cpu_s=cpu,
                    floor=typical(plan(bare, *BARE).cpu_s for _ in range(REPEATS)), floor_is=FLOOR_IS,
                    aim="ours <= 15" if more == 1 else "",
                    remark=f"would run: {told(planned) or 'nothing'}" if more <= 1 else f"{len(planned)} jobs",
                )
            )  # fmt: skip
    rows.append(
        Measured(
            f"jobs of finished patients when one is added to {n}", len(extra), "jobs", 1, "added",
            floor=0, floor_is="none is needed", aim="ours <= 0", remark=", ".join(extra[:10]),
        )
    )  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(report(measure))
