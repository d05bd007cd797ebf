from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.studies.severity import names
from tests.studies.severity.made_cohorts import ROOT, section

KNOWN = {
    name: {"available_at": visit, "Source": f"participants.tsv: {column}"}
    for name, visit, column in (
        ("age", "J0", "age"), ("glucose", "J0", "glucose"), ("deficit", "J0", "deficit"), ("tici", "J1", "tici"),
        ("nihss", "J0", "stroke scale"), ("scale", "J0", "stroke scale"), ("severity", "J0", "NIHSS_adm"),
    )
}  # fmt: skip


def test_the_defaults_hold_together() -> None:
    asked = section(networks=["tractnet", "vit"], variants={"no-skip": {"network": {"attention": False}}})
    names.check(asked, KNOWN)
    found = names.configurations(asked)
    assert found[:3] == ["tractnet", "vit", "tractnet[no-skip]"] and found[-2:] == ["ensemble", "hybrid"]
    assert names.hybrid_parts(asked) == (["tractnet", "maps", "territories", "log_volume"], ["age"])
    seeing_more = {name for name in found if not names.image_only(name, asked)}
    assert seeing_more == {"log_volume+age", "territories+age", "hybrid"}
    assert names.image_only("hybrid", section(hybrid=["maps", "log_volume"]))
    assert not names.image_only("hybrid", section(hybrid=["maps", "log_volume+age"]))
    assert names.variant_of("tractnet[no-skip]") == "no-skip" and not names.variant_of("tractnet")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"primary": "tracnet"}, "primary` names tracnet, .* did you mean tractnet\\?"),
        ({"primary": "hybrid"}, "primary` names hybrid, which sees more than images"),
        ({"primary": "log_volume+age"}, "sees more than images"),
        ({"ensemble": ["tractnet", "territories+age"]}, "ensemble` names territories\\+age, which sees more"),
        (
            {"ensemble": ["tractnet", "hybrid"]},
            "ensemble` names hybrid, which is no configuration of its own",
        ),
        ({"comparator": "tractnet"}, "are the same"),
        ({"hybrid": ["tractnet", "nihss"]}, "which the label is cut from"),
        ({"hybrid": ["tractnet", "nihss_5a"]}, "which the label is cut from"),
        ({"hybrid": ["tractnet", "deficit"], "variable": "deficit"}, "which the label is cut from"),
        (
            {"hybrid": ["tractnet", "scale"]},
            "scale .participants.tsv: stroke scale., which the label is cut from",
        ),
        ({"hybrid": ["tractnet", "severity"]}, "NIHSS_adm., which the label is cut from"),
        ({"hybrid": ["tractnet", "glucos"]}, "did you mean glucose\\?"),
        ({"hybrid": ["age", "sex"]}, "names age, sex alone"),
        ({"hybrid": ["tractnet", "tici"]}, "tici \\(known at J1\\)"),
        ({"once": ["vti"], "networks": ["tractnet", "vit"]}, "did you mean vit\\?"),
        ({"variants": {"x": {"netwrk": {}}}}, "did you mean `network`"),
        ({"variants": {"x": {"network": {"bottelneck": "none"}}}}, "did you mean `bottleneck`"),
        ({"variants": {"x": {"channels": ["adc"]}}}, "`adc` is not a key of .*known are lesion"),
        ({"variants": {"x/y": {}}}, "letters, digits"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        names.check(section(**changed), KNOWN)


def test_the_score_under_the_name_of_age_is_refused() -> None:
    found = {**KNOWN, "age": {"available_at": "J0", "Source": "participants.tsv: stroke scale"}}
    with pytest.raises(ConfigError, match="predict from age"):
        names.check(section(), found)


def test_the_trials_are_the_folds_of_the_table_and_then_those_that_are_drawn() -> None:
    asked = section(n_folds=3, repeats=2, other_n_folds=[2, 3])
    found = names.trials(asked, {3, 1, 2})
    assert found == [
        "3-1-1", "3-1-2", "3-1-3", "3-2-1", "3-2-2", "3-2-3", "2-1-1", "2-1-2", "2-2-1", "2-2-2",
    ]  # fmt: skip
    assert [str(names.parse(one)) for one in found] == found
    assert {one: names.split_of(asked, one) for one in ("3-2-1", "2-1-1")} == {"3-2-1": "cv", "2-1-1": "cv:2"}
    assert [one for one in found if names.freezes(asked, one)] == ["3-1-1", "3-1-2", "3-1-3"]
    assert names.trials(asked, set()) == []


def test_what_is_fitted_once_takes_what_combines_it_along() -> None:
    asked = section(networks=["tractnet", "vit"], once=["vit"], hybrid=["vit", "age"])
    assert names.of_repeat(asked, 1) == names.configurations(asked)
    assert set(names.configurations(asked)) - set(names.of_repeat(asked, 2)) == {"vit", "hybrid"}


def test_the_names_need_no_numerical_library() -> None:
    said = (
        "import sys, reperfuse.studies.severity.names; print('numpy' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT / "workflow", capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
