from __future__ import annotations

from typing import Any

import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.studies.transformation import names
from tests.studies.transformation.made_scans import section

KNOWN = {"age": "J0", "glucose": "J0", "nihss": "J0", "tici": "J1", "ht": "none"}


def test_the_defaults_hold_together() -> None:
    asked = section()
    names.check(asked, KNOWN)
    assert names.configurations(asked)[:5] == list(names.MODES) and len(names.configurations(asked)) == 19
    assert names.dense_of(asked) == ["lstm_pwi+aif+dwi", "map_k2"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"primary": "lstm_pwi+aiff"}, "names lstm_pwi\\+aiff, .* did you mean lstm_pwi\\+aif\\?"),
        ({"dense": ["forest"], "baselines": ["svm", "srkda"]}, "`studies.transformation.dense` names forest"),
        ({"comparator": "lstm_pwi+aif+dwi"}, "are the same"),
        ({"clinical": ["age", "nihss", "tici"]}, "tici \\(known at J1\\)"),
        ({"clinical": ["age", "nihss", "glucos"]}, "did you mean glucose"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        names.check(section(**changed), KNOWN)
