"""On what a network runs, and what that can do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from reperfuse.core.errors import ConfigError

DeviceName = Literal["auto", "cpu", "cuda"]
# What decides the speed of convolutions: width of vectors, and units for short floating-point numbers.
FLAGS = tuple("avx2 avx512f avx512_bf16 avx512_fp16 amx_tile amx_bf16 amx_int8 asimd sve bf16".split())


def choose_device(name: DeviceName) -> torch.device:
    """Return the device; ``auto`` takes a GPU where there is one.

    Raises
    ------
    ConfigError
        If ``cuda`` is asked for and there is none, or the name is unknown.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device is {name!r}; expected auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device is cuda, but PyTorch sees no GPU; set it to auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def count_devices(device: torch.device, wanted: int) -> int:
    """Return how many devices to train on: as many GPUs as are wanted, or the one CPU.

    Raises
    ------
    ConfigError
        There are fewer GPUs.
    """
    if device.type != "cuda":
        return 1
    if wanted > torch.cuda.device_count():
        raise ConfigError(f"devices is {wanted}, but PyTorch sees {torch.cuda.device_count()} GPUs")
    return wanted


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's vector units in one line; where Linux does not tell, PyTorch's word for them."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1] for line in lines if line.lower().startswith(("flags", "features")))
    words = next(named, "").split()
    known = [flag for flag in FLAGS if flag in words]
    return " ".join(known) or torch.backends.cpu.get_cpu_capability().lower()
