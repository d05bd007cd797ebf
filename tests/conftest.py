"""What tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data; the test is skipped where it is absent."""
    path = Path(os.environ.get("REPERFUSE_DATA", ROOT.parent / "shared/data"))
    if not path.is_dir():
        pytest.skip(f"no real data at {path}; set REPERFUSE_DATA")
    return path
