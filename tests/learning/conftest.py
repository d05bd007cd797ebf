"""One encoder with random weights; building it takes longer than most tests."""

from __future__ import annotations

import numpy as np
import pytest

from reperfuse.learning.weights import Stamp, load_encoder
from reperfuse.networks.resnet import Resnet50Encoder


@pytest.fixture(scope="session")
def loaded() -> tuple[Resnet50Encoder, Stamp]:
    """An encoder with random weights, seed 1, and its stamp."""
    return load_encoder("medicalnet_dilated", None, sha256="", allow_random=True, seed=1)


@pytest.fixture(scope="session")
def encoder(loaded) -> Resnet50Encoder:
    return loaded[0]


@pytest.fixture(scope="session")
def volumes() -> list[np.ndarray]:
    """Three small volumes."""
    return [np.random.default_rng(i).standard_normal((16, 32, 32), dtype=np.float32) for i in range(3)]
