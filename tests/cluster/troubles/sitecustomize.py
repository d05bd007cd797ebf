"""Troubles for jobs, from outside of the workflow, so that no digest knows of them.

Python imports this module when it starts, if its folder is on PYTHONPATH. With ``REPERFUSE_TROUBLES`` naming a
folder, a job that begins to work adds a line to ``runs.log`` there and then meets, once, what ``plan.json`` holds for
its step and owner: ``fail``, ``fill`` (memory), ``sleep`` (for longer than anybody waits) or ``wait`` (until a file
``go`` is there).
"""

import json
import os
import sys
import time
from importlib.machinery import PathFinder
from pathlib import Path

FOLDER = os.environ.get("REPERFUSE_TROUBLES", "")
MODULE = "reperfuse.core.job"
FILL_MB = 4000


def begin(step, owner):
    """Say who begins; then the trouble that is planned, the first time."""
    job, gpus = (os.environ.get(name, "-") for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"))
    with open(f"{FOLDER}/runs.log", "a") as log:
        log.write(f"{step} {owner} {job} {gpus or '-'}\n")
    plan = json.loads(Path(FOLDER, "plan.json").read_text())
    trouble = plan.get(f"{step} {owner}")
    if not trouble:
        return
    try:
        Path(FOLDER, f"{step}.{owner}.met").touch(exist_ok=False)
    except FileExistsError:
        return
    if trouble == "fill":
        held = [bytearray(os.urandom(1 << 20) * 50) for _ in range(FILL_MB // 50)]
        time.sleep(3600)
        held.clear()
    elif trouble == "sleep":
        time.sleep(3600)
    elif trouble == "wait":
        while not Path(FOLDER, "go").exists():
            time.sleep(0.2)
        return
    raise RuntimeError(f"a trouble that was planned: {trouble}")


class Finder:
    """Finds one module as Python does, and has its jobs begin as above."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def load_and_change(module):
            load(module)
            enter = module.Job.__enter__

            def changed(job):
                entered = enter(job)
                begin(job.snakemake.rule, job.participant_id)
                return entered

            module.Job.__enter__ = changed

        spec.loader.exec_module = load_and_change
        return spec


if FOLDER:
    sys.meta_path.insert(0, Finder)
