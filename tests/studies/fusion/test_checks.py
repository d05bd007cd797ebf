"""What the configuration may not ask of the fusion study."""

from __future__ import annotations

from typing import Any

import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.studies.fusion.checks import check
from tests.studies.fusion.made_cohort import section
from tests.workspace import ROOT

SCHEMAS = ROOT / "workflow/schemas"
DICTIONARY: dict[str, dict[str, Any]] = {name: {} for name in ("age", "memory_1", "memory_2", "smoking")}
GOOD: dict[str, Any] = {
    "contrasts": ["adc", "my_map"],
    "variants": {"small": {"network": {"code": 1}}},
    "phenotypes": {"variables": ["memory_*"], "single": ["age", "nihss"], "adjust": ["age", "brain_ml"]},
}


def test_what_is_known_passes() -> None:
    check(section(**GOOD), DICTIONARY, ["my_map"], SCHEMAS)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"contrasts": ["adc", "trase"]}, "trase, .* did you mean trace"),
        ({"contrasts": ["adc", "my_mab"]}, "did you mean my_map"),
        ({"sets": [["adc", "flair"]]}, r"sets` names flair, .* known are adc, my_map"),
        ({"primary": "adc+my_mp"}, "primary` names my_mp, .* did you mean my_map"),
        ({"minimum": 3}, "minimum` asks for 3 contrasts, but 2 take part"),
        ({"intensity": {"fixed": {"adc": [3, 1]}, "quantiles": [0, 1]}}, r"fixed.adc` is \[3, 1\]"),
        ({"intensity": {"fixed": {}, "quantiles": [0.5, 0.5]}}, "quantiles"),
        (
            {"variants": {"a": {"training": {"linear": True}, "network": {"output": "sigmoid"}}}},
            "exclude each other",
        ),
        ({"primary": "adc+adc"}, "adc\\+adc; name each contrast once"),
        ({"statistics": {"mse_flags": [0.1, 0.04]}}, r"mse_flags` is \[0.1, 0.04\]; expected the lower"),
        (
            {"variants": {"a": {"network": {"code": 0}}}},
            r"(?s)variants.a`: .*network.code` is 0; expected at least 1",
        ),
        (
            {"variants": {"a": {"training": {"flip": 3}}}},
            r"(?s)variants.a`: .*training.flip` is 3; expected boolean",
        ),
        ({"variants": {"unet": {}}}, "cannot be named so"),
        ({"variants": {"a-b": {}}}, "cannot be named so"),
        ({"variants": {"a": {"network": 3}}}, "expected what differs"),
        ({"variants": {"a": {"netwrk": {}}}}, "did you mean network"),
        ({"variants": {"a": {"network": {"kode": 8}}}}, "did you mean code"),
        ({"phenotypes": {**GOOD["phenotypes"], "variables": ["memry_*"]}}, "memry_"),
        ({"phenotypes": {**GOOD["phenotypes"], "single": ["smokin"]}}, "did you mean smoking"),
        ({"phenotypes": {**GOOD["phenotypes"], "adjust": ["brain_m"]}}, "did you mean brain_ml"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest_name(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check(section(**{**GOOD, **changed}), DICTIONARY, ["my_map"], SCHEMAS)
