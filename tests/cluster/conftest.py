"""A private Slurm for the modules that ask for one, and a local run to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.private_slurm import PrivateSlurm, why_not
from tests.cluster.runs import make
from tests.workspace import Workspace


@pytest.fixture(scope="module")
def slurm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSlurm]:
    """A Slurm, with accounting if the module says ``ACCOUNTING = True``; one at a time on a host."""
    accounting = request.module.ACCOUNTING
    if reason := why_not(accounting):
        pytest.skip(reason)
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="no Slurm executor: make slurm")
    cluster = PrivateSlurm(tmp_path_factory.mktemp("slurm") / "home", accounting)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose results were made on this machine, without Slurm; to be compared with, not changed."""
    workspace = make(tmp_path_factory.mktemp("local"))
    workspace.run()
    return workspace.path


@pytest.fixture
def workspace(tmp_path: Path, slurm: PrivateSlurm) -> Workspace:
    """The same cohort and workflow, and no results."""
    return make(tmp_path / "w", environment=slurm.environment)
