"""Generators of random numbers, and kernels that give the same twice."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's own generators, on every device.

    A training does so before each batch and each step, from their numbers. What is drawn then depends on nothing
    before, so that one that is resumed needs no states of generators.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (what augmentation of other packages draws from)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        # By itself: torch.manual_seed keeps the call's whole stack for each kind of device that is not in use.
        torch.cuda.manual_seed_all(seed)


@contextmanager
def reproducible() -> Iterator[None]:
    """Choose deterministic kernels, and leave PyTorch and the generators as they were."""
    memory: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
    )
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Some layers have no deterministic gradient on a GPU: a warning in the log, rather than no training.
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Writing NaN into all memory before its use would cost a tenth of the time, and shows only a kernel's own defects.
    memory.fill_uninitialized_memory = False
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = before[2]
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
