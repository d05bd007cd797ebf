from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reperfuse.cohort.layout import criteria_of
from reperfuse.core.errors import ConfigError
from reperfuse.core.settings import fill, load_schema, resolve
from reperfuse.studies.outcome.names import check_names, check_predictors, declared

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = ROOT / "workflow/schemas"


def section(**changed: Any) -> dict[str, Any]:
    return fill({}, load_schema(SCHEMAS, "outcome")) | changed


def test_a_misspelt_configuration_is_refused_with_the_nearest_name() -> None:
    check_names(section())
    with pytest.raises(
        ConfigError, match=r"names J1_mri\+clincal\+lesion, .* did you mean J1_mri\+clinical\+lesion"
    ):
        check_names(section(primary="J1_mri+clincal+lesion"))
    with pytest.raises(ConfigError, match=r"outcome\.frozen.*known are J0_mri"):
        check_names(section(frozen=["everything"]))
    with pytest.raises(ConfigError, match="are the same"):
        check_names(section(comparator="J1_mri+clinical+lesion", primary="J1_mri+clinical+lesion"))


def test_one_visit_has_names_of_that_visit_alone() -> None:
    check_names(section(visits=["J0"]))
    assert declared(section(visits=["J0"], image="lesion")) == ("J0_mask+clinical+lesion", "J0_clinical")
    with pytest.raises(ConfigError, match="names J1_mri"):
        check_names(section(visits=["J0"], primary="J1_mri"))


def test_predictors_are_known_in_name_and_time() -> None:
    criteria = criteria_of({"thresholds": [480, 620], "percentiles": [1]})
    known = {"own_score": "J0", "later": "J1"}
    check_predictors(section(clinical={"J0": ["age", "own_score"], "J1": ["later"]}), known, criteria)
    for clinical, text in (
        ({"J0": ["agee"], "J1": []}, "did you mean age"),
        ({"J0": ["nihss_24h"], "J1": []}, "not known at J0: nihss_24h"),
        ({"J0": ["later"], "J1": []}, "not known at J0: later"),
        ({"J0": [], "J1": ["mrs_3m"]}, "not known at J1: mrs_3m"),
    ):
        with pytest.raises(ConfigError, match=text):
            check_predictors(section(clinical=clinical), known, criteria)
    with pytest.raises(ConfigError, match=r"criterion adc62, .*did you mean adc620"):
        check_predictors(section(lesion_criteria=["adc62"]), known, criteria)


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_project_is_sound(path: Path) -> None:
    config = resolve(yaml.safe_load(path.read_text(encoding="utf-8")), SCHEMAS)
    check_names(config["studies"]["outcome"])
