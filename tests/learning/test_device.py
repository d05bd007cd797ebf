from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reperfuse.core.errors import ConfigError
from reperfuse.learning.device import choose_device, cpu_flags


@pytest.mark.parametrize("there", [True, False])
def test_a_device_is_chosen_by_name_and_by_what_is_there(monkeypatch, there: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device("auto").type == ("cuda" if there else "cpu")
    assert choose_device("cpu").type == "cpu"
    if there:
        assert choose_device("cuda").type == "cuda"
    else:
        with pytest.raises(ConfigError, match="sees no GPU"):
            choose_device("cuda")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected auto, cpu or cuda"):
        choose_device("gpu")


def test_flags_of_the_processor_are_told(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nflags\t\t: fpu avx2 avx512f amx_tile amx_bf16 avx2x\nflags\t\t: none\n"
    )
    assert cpu_flags(cpuinfo) == "avx2 avx512f amx_tile amx_bf16"
    cpuinfo.write_text("Features\t: fp asimd bf16\n")
    assert cpu_flags(cpuinfo) == "asimd bf16"
    assert cpu_flags(tmp_path / "absent") == torch.backends.cpu.get_cpu_capability().lower()
