"""The configuration: one strict schema that holds every default."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import write_text


@cache
def load_schema(folder: Path, name: str = "config") -> dict[str, Any]:
    """Read ``<name>.schema.yaml`` with the sections that it refers to put in their place."""
    text = (folder / f"{name}.schema.yaml").read_text(encoding="utf-8")
    schema: dict[str, Any] = yaml.safe_load(text)
    _put_in_place(schema, folder)
    return schema


def _put_in_place(schema: dict[str, Any], folder: Path) -> None:
    for key, section in schema.get("properties", {}).items():
        if "$ref" in section:
            schema["properties"][key] = load_schema(folder, section["$ref"].removesuffix(".schema.yaml"))
    if isinstance(named := schema.get("additionalProperties"), dict):
        _put_in_place(named, folder)


def resolve(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the configuration with every default filled in.

    Parameters
    ----------
    config : mapping
        As the user wrote it.
    folder : Path
        Where the schemas are.

    Raises
    ------
    ConfigError
        One line for each key that is unknown, missing or of the wrong kind, with its place and what to do.
    """
    return resolve_section(config, load_schema(folder))


def resolve_section(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return one section with every default filled in; see :func:`resolve`."""
    from jsonschema import Draft202012Validator  # slow to import, and not every user of this module needs it

    problems = [_sentence(error) for error in Draft202012Validator(schema).iter_errors(dict(config))]
    if problems:
        raise ConfigError("The configuration cannot be used:\n  " + "\n  ".join(sorted(set(problems))))
    resolved: dict[str, Any] = fill(copy.deepcopy(dict(config)), schema)
    return resolved


def fill(value: Any, schema: Mapping[str, Any], *, sections: bool = True) -> Any:
    """Return a value with the schema's defaults wherever it says nothing.

    Whole ``sections`` that are left out are filled in too, but not in what the user has named himself, such as an
    external cohort, where a section that is left out says that another one holds.
    """
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    for key, part in known.items():
        if key in value:
            value[key] = fill(value[key], part)
        elif "default" in part:
            value[key] = fill(copy.deepcopy(part["default"]), part)
        elif sections and part.get("type") == "object" and "properties" in part and not part.get("required"):
            value[key] = fill({}, part)
    if isinstance(named := schema.get("additionalProperties"), dict):
        for key in value.keys() - known.keys():
            value[key] = fill(value[key], named, sections=False)
    return value


def _sentence(error: Any) -> str:
    place = ".".join(map(str, error.absolute_path)) or "the top level"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        return "; ".join(_unknown(key, place, known) for key in unknown)
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return f"`{missing}` is missing at {place}; add it."
    return f"`{place}` is {error.instance!r}; {_expected(error)}."


def _unknown(key: str, place: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known))}."
    return f"`{key}` is not a key of {place}; {hint}"


def _expected(error: Any) -> str:
    expected = {
        "type": f"expected {error.validator_value}",
        "enum": f"expected one of {error.validator_value}",
        "minimum": f"expected at least {error.validator_value}",
        "maximum": f"expected at most {error.validator_value}",
        "exclusiveMinimum": f"expected more than {error.validator_value}",
        "pattern": f"expected text that matches {error.validator_value}",
    }
    return expected.get(error.validator, error.message)


def document(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every key with its dotted name, a section before its keys."""
    for key, part in schema.get("properties", {}).items():
        name = f"{prefix}{key}"
        yield name, part
        yield from document(part, f"{name}.")


def assumed(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values in force that neither a paper states nor a measurement chose: dotted name → value."""
    found = {}
    for name, part in document(load_schema(folder)):
        if part.get("x-source") == "assumed":
            value: Any = config
            for key in name.split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
            found[name] = value
    return found


def readme(folder: Path) -> str:
    """Return the page that explains every key, as Markdown."""
    lines = [
        "# Configuration",
        "",
        "`bids_dir` and `output_dir` suffice; everything else is found or has the default below. Unknown keys are",
        "errors. *stated*: the value is from the paper or standard that the key implements; *measured*: chosen by a",
        "measurement; *assumed*: a choice of this project, listed in every report. This page is written from the",
        "schemas by `make docs`.",
        "",
    ]
    for name, part in document(load_schema(folder)):
        text = " ".join(str(part.get("description", "")).split())
        if "properties" in part:
            lines += [f"## `{name}`" if "." not in name else f"### `{name}`", "", text, ""]
            continue
        default = json.dumps(part["default"], ensure_ascii=False) if "default" in part else ""
        source = f" ({part['x-source']})" if "x-source" in part else ""
        shown = f" Default: `{default}`{source}." if default else ""
        lines += [f"- `{name}`: {text}{shown}"]
    text = "\n".join(lines)
    return re.sub(r"\n(- .*)\n(##)", r"\n\1\n\n\2", text) + "\n"


if __name__ == "__main__":
    schemas = Path(__file__).resolve().parents[2] / "schemas"
    write_text(schemas.parents[1] / "config/README.md", readme(schemas))
