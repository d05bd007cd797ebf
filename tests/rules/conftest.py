"""Workspaces with finished results."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.workspace import Workspace, copy_workflow, write_patients


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of two patients whose results are complete; to be copied, not changed."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    copy_workflow(workspace.path)
    write_patients(workspace.path / "bids", 2)
    workspace.run()
    assert not workspace.would_run()
    return workspace.path


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, dates kept."""
    shutil.copytree(finished, tmp_path / "w", symlinks=True)
    return Workspace(tmp_path / "w")
