from __future__ import annotations

from pathlib import Path

import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.phantom.__main__ import main


def test_the_command_writes_a_cohort(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["n=1", "shape=[16, 18, 8]", "spacing_mm=[12, 12, 18]", "frames=[40, 41]"]
    main([str(tmp_path / "bids"), str(tmp_path / "truth"), *small])
    assert "1 patients in" in capsys.readouterr().out
    assert list((tmp_path / "bids").glob("sub-*/ses-01/dwi/*_ADC.nii.gz"))


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`sede` is not a key .* did you mean `seed`"):
        main([str(tmp_path / "bids"), str(tmp_path / "truth"), "sede=1"])
