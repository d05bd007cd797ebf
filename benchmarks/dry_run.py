"""Aim: a dry run is linear, and costs at most 1.3 ms of CPU and 17 KB per job over Snakemake's own.

Snakemake's own is measured in the same run: a Snakefile with the same rules, the same number of files per job and
constant params, but nothing of this workflow. Both are dry-run for three sizes of cohort in fresh processes; the
slope over the two larger sizes is the cost of a job. Run: python benchmarks/dry_run.py [patients]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from indexing import make_tree

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))

from reperfuse.cohort import layout  # noqa: E402

IMAGES = layout.images_of([480, 620])
INPUTS = {
    "prepare": (),
    "register": IMAGES["prepare"],
    "normalise": ("J0_s0", "J0_trace", "J0_adc", "J0_brain", "J0_t1w"),
    "lesions": (*layout.LESIONS_READ, *IMAGES["normalise"][2:]),
    "page": (*IMAGES["prepare"], *IMAGES["register"], *IMAGES["lesions"]),
}


def bare_snakefile(n: int) -> str:
    """Return a Snakefile with the same jobs and files, and nothing else."""
    text = f"SUBS = [f'sub-{{i:05d}}' for i in range({n})]\n\n"
    text += "rule all:\n    input: 'index.html'\n\n"
    for step, before in layout.AFTER.items():
        records = [f"work/{{sub}}/{one}.json" for one in before if one != "template"]
        images = [f"work/{{sub}}/{name}.nii.gz" for name in INPUTS[step]]
        made = [f"work/{{sub}}/{name}.nii.gz" for name in IMAGES.get(step, ())]
        text += f"rule {step}:\n    input: {[*records, *images]}\n"
        text += f"    output: {[f'work/{{sub}}/{step}.json', *made]}\n    log: 'logs/{step}/{{sub}}.log'\n"
        text += f"    benchmark: 'benchmarks/{step}/{{sub}}.tsv'\n    params: cfg={{'a': 1}}, code='x'\n"
        text += "    script: 's.py'\n\n"
    steps = list(layout.AFTER)
    text += f"rule report:\n    input: expand('work/{{sub}}/{{step}}.json', sub=SUBS, step={steps})\n"
    return text + "    output: 'index.html'\n    script: 's.py'\n"


def cost(command: list[str], folder: Path) -> tuple[float, float]:
    """Return CPU seconds and peak KB of a command."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(errors.decode())
    return usage.ru_utime + usage.ru_stime, float(usage.ru_maxrss)


def measure(n: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Return the cost of a dry run of ours and of the bare Snakefile for a cohort of a size."""
    bids = folder / "bids"
    bids.mkdir(parents=True)
    make_tree(bids, n)
    (folder / "Snakefile").write_text(bare_snakefile(n))
    (folder / "s.py").touch()
    snakemake = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all"]
    ours = [*snakemake, "--snakefile", str(ROOT / "Snakefile"), "--config", "bids_dir=bids", "output_dir=out"]
    cost(ours, folder)  # the first run stamps the files and is no dry run's steady state
    return {"ours": cost(ours, folder), "bare": cost([*snakemake, "--snakefile", "Snakefile"], folder)}


def main(n: int = 1000) -> None:
    """Print the cost per job of both, and what ours adds."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sizes = [n // 10, n // 2, n]
    steps = len(layout.AFTER)
    with tempfile.TemporaryDirectory() as folder:
        found = {size: measure(size, Path(folder) / str(size)) for size in sizes}
    slopes = {}
    for name in ("ours", "bare"):
        (cpu1, _), (cpu2, kb2), (cpu3, kb3) = (found[size][name] for size in sizes)
        jobs = steps * (sizes[2] - sizes[1])
        slopes[name] = ((cpu3 - cpu2) / jobs * 1000, (kb3 - kb2) / jobs)
        early = (cpu2 - cpu1) / (steps * (sizes[1] - sizes[0])) * 1000
        print(
            f"{name}: {slopes[name][0]:.2f} ms and {slopes[name][1]:.1f} KB per job ({early:.2f} ms below {sizes[1]})"
        )
        print(f"  {n} patients, {steps * n} jobs: {cpu3:.1f} s of CPU, {kb3 / 1024:.0f} MB")
    more = slopes["ours"][0] - slopes["bare"][0], slopes["ours"][1] - slopes["bare"][1]
    print(f"over Snakemake's own: {more[0]:.2f} ms and {more[1]:.1f} KB per job")
    print(f"ratio ours / bare: {slopes['ours'][0] / slopes['bare'][0]:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
