"""Cohorts for the benchmarks: BIDS trees of small files, and the results of a run that never was."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from suite import ROOT, Usage, run, snakemake

from reperfuse.cohort import layout
from reperfuse.core.tables import write_table

IMAGES = (
    *(
        "01/dwi/{0}_ses-01_ADC",
        "01/dwi/{0}_ses-01_trace",
        "01/dwi/{0}_ses-01_dwi",
        "01/anat/{0}_ses-01_FLAIR",
        "01/perf/{0}_ses-01_dsc",
    ),
    *(
        "01/anat/{0}_ses-01_T1w",
        "02/dwi/{0}_ses-02_ADC",
        "02/dwi/{0}_ses-02_trace",
        "02/anat/{0}_ses-02_T2starw",
    ),
)
CLINICAL = (
    "age",
    "sex",
    "nihss",
    "nihss_24h",
    "mrs_3m",
    "hypertension",
    "diabetes",
    "atrial_fibrillation",
    "evt",
    "ivt",
)
CONFIG = ("--config", "bids_dir=bids", "output_dir=out")
# Writes every result that the configuration asks for, where the Snakefile would look at those that are there.
FABRICATE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from pathlib import Path
from reperfuse.core import reruns
from reperfuse.core.records import digests_of, key_of, write_record

def fabricate(results, metadata):
    keys = {}
    for record, tell in results.items():
        one = tell()
        digests = digests_of(one.cfg, one.code, one.src, {name: keys[path] for name, path in one.after.items()})
        keys[record] = key_of(digests)
        for path in map(Path, one.files):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        owner, step = Path(record).parent.name, Path(record).stem
        write_record(record, participant_id=owner, step=step, faults=(), facts={}, digests=digests)
    return reruns.Recognised(0, ())

reruns.reconcile = fabricate
from snakemake.cli import main
main(sys.argv[1:])
"""

# Snakemake's `--touch` waits a tenth of a second for each job; thousands of jobs need not.
TOUCH = """
import sys
from snakemake.executors.touch import Executor
Executor.SLEEPING_TIME = 0
from snakemake.cli import main
main(sys.argv[1:])
"""
TOUCHED = ("--touch", "--forceall", "--cores", "1", "--scheduler", "greedy", "--quiet", "all")


def make_tree(root: Path, n: int, first: int = 0) -> None:
    """Write a BIDS tree of one-kilobyte files that are no pointers, or add ``n`` patients to one."""
    root.mkdir(exist_ok=True)
    (root / "dataset_description.json").write_text('{"Name": "tree", "BIDSVersion": "1.11.1"}')
    for i in range(first, first + n):
        subject = f"sub-{i:05d}"
        for pattern in IMAGES:
            path = root / subject / f"ses-{pattern.format(subject)}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\x1f\x8b" + path.name.encode() * 40)
            path.with_name(path.name.replace(".nii.gz", ".json")).write_text("{}")


def tell_outcomes(root: Path, n: int) -> None:
    """Write the clinical table of a tree, so that the outcome study takes part."""
    rows = [
        {
            "participant_id": f"sub-{i:05d}",
            **dict.fromkeys(CLINICAL, i % 2),
            "age": 40 + i % 50,
            "sex": "MF"[i % 2],
            "nihss": i % 20,
            "nihss_24h": i % 15,
            "mrs_3m": i % 6,
        }
        for i in range(n)
    ]
    write_table(root / "participants.tsv", rows, ("participant_id", *CLINICAL))


def finish(folder: Path) -> None:
    """Write the results of a whole run on ``folder/bids`` into ``folder/out``, and Snakemake's memory of it."""
    command = [sys.executable, "-c", FABRICATE, str(ROOT / "workflow"), *snakemake("--list", *CONFIG)[3:]]
    run(command, folder)
    run([sys.executable, "-c", TOUCH, *snakemake(*TOUCHED, *CONFIG)[3:]], folder)


def finish_bare(folder: Path, n: int) -> None:
    """Do the same for a bare Snakefile in ``folder``."""
    for i in range(n):
        for step in layout.AFTER:
            path = folder / f"work/sub-{i:05d}/{step}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (folder / "work/template.json").touch()
    (folder / "index.html").touch()
    (folder / "Snakefile").write_text(bare_snakefile(n))
    (folder / "s.py").touch()
    run([sys.executable, "-c", TOUCH, *snakemake("--snakefile", "Snakefile", *TOUCHED)[3:]], folder)


def plan(folder: Path, *arguments: str) -> Usage:
    """Return what a dry run takes, ours unless another ``--snakefile`` is named."""
    own = arguments if "--snakefile" in arguments else (*CONFIG, *arguments)
    return run(snakemake("--dry-run", *own), folder)


def bare_snakefile(n: int, images: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return a Snakefile with the same jobs as ours and constant params, and nothing else.

    Parameters
    ----------
    n : int
        Patients.
    images : mapping, optional
        Step → images that it declares too, and the steps after it read, as one usually writes it.
    """
    images = images or {}
    text = f"SUBS = [f'sub-{{i:05d}}' for i in range({n})]\n\n"
    text += "rule all:\n    input: 'index.html'\n\n"
    text += "rule template:\n    output: 'work/template.json'\n    script: 's.py'\n\n"
    for step, before in layout.AFTER.items():
        read = [f"work/{one}.json" if one == "template" else f"work/{{sub}}/{one}.json" for one in before]
        read += [f"work/{{sub}}/{name}.nii.gz" for one in before for name in images.get(one, ())]
        made = [f"work/{{sub}}/{name}.nii.gz" for name in images.get(step, ())]
        text += f"rule {step}:\n    input: {read}\n    output: {[f'work/{{sub}}/{step}.json', *made]}\n"
        text += f"    log: 'logs/{step}/{{sub}}.log'\n    benchmark: 'benchmarks/{step}/{{sub}}.tsv'\n"
        text += "    params: cfg={'a': 1}, code='x'\n    script: 's.py'\n\n"
    steps = list(layout.AFTER)
    text += f"rule report:\n    input: expand('work/{{sub}}/{{step}}.json', sub=SUBS, step={steps})\n"
    return text + "    output: 'index.html'\n    script: 's.py'\n"
