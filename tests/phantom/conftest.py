"""A tiny cohort, written once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reperfuse.core.settings import fill, load_schema
from reperfuse.phantom.dataset import write_cohort

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow" / "schemas"
TINY = {"shape": [40, 48, 12], "spacing_mm": [4.5, 4.5, 10.0], "frames": [40, 44]}


def settings(**changes: Any) -> dict[str, Any]:
    """The schema's defaults on a tiny grid."""
    return {**fill({}, load_schema(SCHEMAS, "phantom")), **TINY, **changes}


@dataclass(frozen=True)
class Cohort:
    bids: Path
    truth: Path
    names: list[str]
    config: dict[str, Any]


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Six patients with every image there, but for PWI missing at random."""
    root = tmp_path_factory.mktemp("phantom")
    everything = dict.fromkeys(("pwi", "flair", "t1w", "adc", "trace", "gre"), 0.0)
    config = settings(n=6, mcar=everything, left_before_j1=0.0, pwi_missing_mild=0.0, pwi_missing_other=0.0)
    names = write_cohort(root / "bids", root / "truth", **config)
    return Cohort(root / "bids", root / "truth", names, config)
