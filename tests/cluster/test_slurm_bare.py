"""A Slurm without accounting, where GPUs are asked for as ``--gres``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cluster.private_slurm import PrivateSlurm
from tests.cluster.runs import PROFILE, Troubles, forget, results
from tests.workspace import Workspace

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ACCOUNTING = False
# As docs/cluster.md says for clusters that refuse --gpus.
GRES = """
set-resources:
  embed: {gpu: 0, gres: "gpu:1", gpu_turn: 1}
  severity_fold: {gpu: 0, gres: "gpu:1", gpu_turn: 1}
set-resource-scopes: [gpu=local, gpu_turn=local]
resources: {gpu: 1, gpu_turn: 1}
"""


def test_without_accounting_and_with_gpus_asked_for_as_gres(
    slurm: PrivateSlurm, local: Path, tmp_path: Path
) -> None:
    """One patient and both chunks are made again; a step fails once, and its group is repeated."""
    shutil.copytree(local, tmp_path / "w", symlinks=True)
    troubles = Troubles(tmp_path / "troubles", {"lesions sub-0004": "fail"})
    workspace = Workspace(tmp_path / "w", {**slurm.environment, **troubles.environment})
    forget(workspace.path, "sub-0004", "chunk-000", "chunk-001")
    profile = workspace.path / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text() + GRES)

    said = workspace.snakemake(*PROFILE)
    here, there = results(local), results(workspace.path)
    assert [name for name in here if here[name] != there.get(name)] == []
    times = troubles.times()
    assert times["lesions", "sub-0004"] == 2
    assert {times[step, "sub-0004"] for step in ("prepare", "register", "normalise", "page")} == {1}
    assert times["prepare", "sub-0001"] == 0

    jobs = slurm.jobs()
    submitted = [int(one) for one in re.findall(r"has been submitted with SLURM jobid (\d+)", said)]
    assert jobs[submitted[0]]["JobState"] == "FAILED"
    assert {jobs[one]["JobState"] for one in submitted[1:]} == {"COMPLETED"}
    embedding = [(job, gpus) for step, _, job, gpus in troubles.begun() if step == "embed"]
    assert len(embedding) == 2 and len(set(embedding)) == 1
    [(job, gpus)] = set(embedding)
    assert gpus in ("0", "1")
    assert "gres:gpu:1" in jobs[job]["TresPerNode"] and "TresPerJob" not in jobs[job]
