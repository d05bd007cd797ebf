"""Runs whose main process is killed, again and again, end with the results of a run that nothing disturbed.

Sometimes the machine fails with it, sometimes its jobs go on as orphans; sometimes the run that is killed was one of
another configuration, whose results must not stay.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.cluster.runs import MainProcess, make, results
from tests.workspace import Workspace

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

KILLS = 5  # of one run
RUNS = int(os.environ.get("REPERFUSE_CHAOS_RUNS", "1"))
COMMAND = ("--cores", "2")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the workflow and a cohort, without results; to be copied."""
    return make(tmp_path_factory.mktemp("untouched")).path


@pytest.fixture(scope="module")
def undisturbed(untouched: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run makes that is left alone."""
    workspace = Workspace(tmp_path_factory.mktemp("undisturbed") / "w")
    shutil.copytree(untouched, workspace.path)
    workspace.snakemake(*COMMAND)
    return results(workspace.path)


def kill_somewhere(workspace: Workspace, chance: random.Random) -> bool:
    """Start a run and kill it after some of its jobs; return whether it was still at work."""
    jobs, delay, alone = chance.randint(0, 8), chance.uniform(0, 2), chance.random() < 0.5
    config = workspace.path / "config.yaml"
    text = config.read_text()
    if chance.random() < 0.3:
        config.write_text(text.replace("syn_iterations: [4]", "syn_iterations: [3]"))
    run = MainProcess(workspace, *COMMAND)
    while run.alive() and run.log.read_text().count("Finished jobid") < jobs:
        time.sleep(0.05)
    time.sleep(delay)
    at_work = run.alive()
    run.kill(alone=alone)
    config.write_text(text)
    return at_work


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_results(
    seed: int, untouched: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    chance = random.Random(seed)
    workspace = Workspace(tmp_path / "w")
    shutil.copytree(untouched, workspace.path)
    killed = 0
    for _ in range(KILLS):
        killed += kill_somewhere(workspace, chance)
        workspace.snakemake("--unlock")
    workspace.snakemake(*COMMAND)
    found = {name: sha for name, sha in results(workspace.path).items() if "/.partial-" not in f"/{name}"}
    assert {name for name in found if found[name] != undisturbed.get(name)} == set()
    assert set(found) == set(undisturbed)
    assert "Nothing to be done" in workspace.snakemake("--dry-run", *COMMAND)
    assert killed >= 2, "a run that ends before it is killed shows nothing"
    shutil.rmtree(workspace.path)
