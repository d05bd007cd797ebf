from __future__ import annotations

from pathlib import Path

import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.core.settings import assumed, document, fill, load_schema, readme, resolve

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"
PLACES = {"bids_dir": "data", "output_dir": "results"}


def test_two_keys_suffice_and_everything_else_is_filled_in() -> None:
    config = resolve(PLACES, SCHEMAS)
    assert config["images"]["adc"][0] == {"suffix": "ADC"}
    assert config["sessions"] == {}
    assert PLACES == {"bids_dir": "data", "output_dir": "results"}, "the user's own dict is not changed"


def test_what_the_user_says_wins_and_the_rest_of_the_section_stays() -> None:
    config = resolve({**PLACES, "images": {"adc": [{"suffix": "adc"}]}}, SCHEMAS)
    assert config["images"]["adc"] == [{"suffix": "adc"}]
    assert config["images"]["flair"] == [{"suffix": "FLAIR"}]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({**PLACES, "imges": {}}, "`imges` is not a key of the top level; did you mean `images`?"),
        ({**PLACES, "images": {"acd": []}}, "`acd` is not a key of images; did you mean `adc`?"),
        ({"bids_dir": "x"}, "`output_dir` is missing at the top level; add it."),
        ({**PLACES, "bids_dir": 3}, "`bids_dir` is 3; expected string."),
    ],
)
def test_mistakes_are_named_with_their_place(config: dict, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolve(config, SCHEMAS)
    assert sentence in str(error.value)


def test_defaults_are_copied_not_shared() -> None:
    schema = {"properties": {"a": {"default": []}}}
    fill({}, schema)["a"].append(1)
    assert fill({}, schema)["a"] == []


def test_every_key_is_described() -> None:
    for name, part in document(load_schema(SCHEMAS)):
        assert part.get("description") or part.get("properties"), f"{name} has no description"


def test_the_page_of_keys_is_what_the_schemas_say() -> None:
    page = (SCHEMAS.parents[1] / "config/README.md").read_text(encoding="utf-8")
    assert page == readme(SCHEMAS), "run `make docs`"


def test_assumed_values_are_listed_with_what_is_in_force() -> None:
    config = resolve({**PLACES, "lesions": {"z_gate": 3}}, SCHEMAS)
    found = assumed(config, SCHEMAS)
    assert found["lesions.z_gate"] == 3
    assert "lesions.thresholds" not in found, "stated by a paper"
