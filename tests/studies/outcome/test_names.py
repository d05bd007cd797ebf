from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reperfuse.core.errors import ConfigError
from reperfuse.core.settings import fill, load_schema, resolve
from reperfuse.studies.outcome.names import check_names

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
        check_names(section(comparator="J1_mri+clinical+lesion"))


def test_one_visit_has_names_of_that_visit_alone() -> None:
    with pytest.raises(ConfigError, match="primary"):
        check_names(section(visits=["J0"]))
    check_names(section(visits=["J0"], primary="J0_mri+clinical+lesion", comparator="age+nihss"))


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_project_is_sound(path: Path) -> None:
    config = resolve(yaml.safe_load(path.read_text(encoding="utf-8")), SCHEMAS)
    check_names(config["studies"]["outcome"])
