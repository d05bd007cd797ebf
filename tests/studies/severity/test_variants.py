"""Settings of ablations."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.core.settings import fill, load_schema
from reperfuse.studies.severity.variants import effective

SCHEMAS = Path(__file__).resolve().parents[3] / "workflow/schemas"


def section(**variants: Any) -> dict[str, Any]:
    asked = {"channels": ["trace", "adc"], "variants": variants}
    return dict(fill(asked, load_schema(SCHEMAS, "severity")))


def test_a_variant_differs_in_what_it_names_and_in_nothing_else() -> None:
    study = section(
        small={"network": {"widths": [4, 4, 8, 8]}, "training": {"graded": 1.0}}, one={"channels": ["adc"]}
    )
    before = copy.deepcopy(study)
    plain, small, one = effective(study, None), effective(study, "small"), effective(study, "one")
    assert plain == effective(study, "") == {key: study[key] for key in plain}
    assert plain.keys() == {"network", "training", "augmentation", "channels", "grid"}
    assert small["network"].pop("widths") == [4, 4, 8, 8] and small["training"].pop("graded") == 1.0
    del plain["network"]["widths"], plain["training"]["graded"]
    assert small == plain
    assert one["channels"] == ["adc"]
    small["network"]["heads"].append(9)
    assert study == before


@pytest.mark.parametrize(
    ("variant", "name", "nearest"),
    [
        ({"network": {"botleneck": "none"}}, "botleneck", "bottleneck"),
        ({"trainings": {}}, "trainings", "training"),
        ({"augmentation": {"flips": True}}, "flips", "flip"),
        ({"channels": ["adcs"]}, "adcs", "adc"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest(variant: dict, name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` is not a key of .*; did you mean `{nearest}`"):
        effective(section(v=variant), "v")


def test_an_unknown_variant_and_a_channel_that_the_study_lacks_are_told() -> None:
    with pytest.raises(ConfigError, match=r"`smal` .* did you mean `small`"):
        effective(section(small={}), "smal")
    with pytest.raises(ConfigError, match=r"`lesion` is not a key of .*channels"):
        effective(section(v={"channels": ["lesion"]}), "v")


def test_the_volume_of_a_lesion_that_is_not_shown_is_told() -> None:
    with pytest.raises(ConfigError, match="shows no lesion; add it to `channels`"):
        effective(section(v={"training": {"volume": True}}), "v")
    asked = {"channels": ["lesion"], "training": {"volume": True}}
    assert effective(fill(asked, load_schema(SCHEMAS, "severity")), None)["training"]["volume"] is True
