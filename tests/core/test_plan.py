from __future__ import annotations

import os
from pathlib import Path

import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.core.plan import VARIABLE, read_plan, write_plan


def test_jobs_read_what_was_settled_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    write_plan(tmp_path, {"config": {"b": 1, "a": 2}})
    assert list(read_plan()["config"]) == ["b", "a"]
    first = os.environ[VARIABLE]
    write_plan(tmp_path, {"config": {"b": 1, "a": 3}})
    assert os.environ[VARIABLE] != first and read_plan()["config"]["a"] == 3


def test_a_job_without_a_plan_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="environment of the main process"):
        read_plan()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "plan-0.json"))
    with pytest.raises(ConfigError, match=r"plan-0\.json, cannot be read on"):
        read_plan(patience_s=0)
