"""What every page shares: the template environment, readable numbers, findings, sections."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reperfuse.core.errors import Fault

RESEARCH_USE = "Research use only. Not a medical device."
ABSENT = "–"
_TEMPLATES = Path(__file__).parent / "templates"
_PARTICIPANT = re.compile(r"sub-[A-Za-z0-9+]+")

CRITERION_NAMES = {
    "adc480_raw": "ADC < 480, raw",
    "adc480": "ADC < 480, cleaned",
    "adc620_raw": "ADC < 620, raw",
    "adc620": "ADC < 620, cleaned",
    "adcp1": "ADC below the 1st percentile of the healthier side, cleaned",
    "given": "given mask",
}


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Parameters
    ----------
    title : str
        Heading, plain text.
    anchor : str
        Its name in links: letters, digits and hyphens.
    html : Markup or str
        The content, already escaped: what is given here is written as it stands.
    """

    title: str
    anchor: str
    html: str


def is_page_name(participant_id: str) -> bool:
    """Whether an identifier may name a file and stand in a link."""
    return _PARTICIPANT.fullmatch(participant_id) is not None


def number(value: Any, digits: int = 2) -> str:
    """Return a number for reading: fixed decimals, thin groups, a dash where there is none.

    Examples
    --------
    >>> number(12.345), number(None), number("7"), number(1234567, 0)
    ('12.35', '–', '7.00', '1 234 567')
    """
    value = to_float(value)
    if value is None:
        return ABSENT
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    return text.replace("-", "\u2212")


def to_float(value: Any) -> float | None:
    """Return a finite float, or None for what is not one (table cells are text)."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def plain(value: Any) -> str:
    """Return any recorded value as short text."""
    if value is None or value == "" or value == "n/a":
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)


@dataclass(frozen=True)
class Finding:
    """A fault as a page shows it; ``level`` is ``fail`` or ``warn``."""

    code: str
    level: str
    sentence: str
    steps: tuple[str, ...]


def findings(records: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Return the faults of all steps, each once, exclusions first, with the steps that report it."""
    steps: dict[tuple[str, str], list[str]] = {}
    for step, record in records.items():
        for fault in record.get("faults") or ():
            steps.setdefault(_sentence(fault), []).append(step)
    found = [
        Finding(code, "fail" if code.startswith("E") else "warn", sentence, tuple(dict.fromkeys(names)))
        for (code, sentence), names in steps.items()
    ]
    return sorted(found, key=lambda finding: finding.level != "fail")


def _sentence(fault: Mapping[str, Any]) -> tuple[str, str]:
    code = str(fault.get("code", "?"))
    try:
        return code, Fault(**fault).sentence
    except (KeyError, TypeError, ValueError):
        # A record of another version may hold a code that this catalogue lacks; it must still be seen.
        return code, f"{code} {fault.get('path', '')}: {plain(fault.get('values') or {})}"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the template environment: everything is escaped, an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(number=number, plain=plain)
    made.globals.update(ABSENT=ABSENT, CRITERION_NAMES=CRITERION_NAMES, RESEARCH_USE=RESEARCH_USE)
    return made


def fragment(template: str, **values: Any) -> Markup:
    """Render the inside of a section."""
    return Markup(environment().get_template(template).render(**values))


def page(*, title: str, lead: str, sections: Iterable[Section], script: bool, home: str = "") -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
        Plain text of the heading.
    lead : Markup or str
        What stands below the heading.
    sections : iterable of Section
        In order; the table of contents is made of them.
    script : bool
        Whether the page has tables to sort and filter.
    home : str
        Relative link to the cohort's page; none if empty.
    """
    # Both are files of this package; inlined, so that a page can be sent alone.
    style = Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    code = Markup((_TEMPLATES / "tables.js").read_text(encoding="utf-8")) if script else ""
    return (
        environment()
        .get_template("base.html.j2")
        .render(title=title, lead=lead, sections=list(sections), style=style, script=code, home=home)
    )
