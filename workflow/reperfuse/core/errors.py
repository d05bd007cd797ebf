"""What went wrong with a piece of data: who, what was found, what was expected, what to do.

The sentences live in ``faults.toml`` beside this module, so that rewording one reruns nothing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """The configuration or the dataset as a whole cannot be used; nothing is run."""


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, str]]:
    """Return the sentences of every fault: code → found, expected, remedy."""
    return tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))


class _Unknown(dict):
    def __missing__(self, key: str) -> str:
        return "?"


@dataclass(frozen=True)
class Fault:
    """One finding about one file or patient.

    Parameters
    ----------
    code : str
        Key of ``faults.toml``. ``E…`` takes the image (or the patient) out, ``W…`` only warns.
    path : str
        File, relative to the dataset.
    values : dict
        What was found; fills the sentence's placeholders. Strings and numbers only.
    participant_id, session_id : str
        Whose it is. A function that does not know leaves them empty; the step fills them in.
    """

    code: str
    path: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    participant_id: str = ""
    session_id: str = ""

    def __post_init__(self) -> None:
        if self.code not in catalogue():
            raise KeyError(f"{self.code} is not in faults.toml")

    @property
    def excludes(self) -> bool:
        """Whether the image or patient is taken out."""
        return self.code.startswith("E")

    def text(self, part: str) -> str:
        """Return ``found``, ``expected`` or ``remedy`` with the values filled in."""
        values = _Unknown(path=self.path, participant_id=self.participant_id, **self.values)
        return catalogue()[self.code].get(part, "").format_map(values)

    @property
    def reason(self) -> str:
        """What was found and what was expected."""
        expected = self.text("expected")
        return f"{self.text('found')}; expected {expected}" if expected else self.text("found")

    @property
    def sentence(self) -> str:
        """The whole finding in one sentence."""
        who = " ".join(part for part in (self.participant_id, self.session_id, self.path) if part)
        remedy = self.text("remedy")
        return f"{self.code} {who}: {self.reason}" + (f"; {remedy}." if remedy else ".")

    def of(self, participant_id: str, session_id: str = "", path: str = "") -> Fault:
        """Return a copy that says whose finding it is, keeping what is already said."""
        return replace(
            self,
            participant_id=self.participant_id or participant_id,
            session_id=self.session_id or session_id,
            path=self.path or path,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what a record keeps: everything but the sentence."""
        return {
            "code": self.code,
            "participant_id": self.participant_id,
            "session_id": self.session_id,
            "path": self.path,
            "values": dict(self.values),
        }


class Refusal(Exception):
    """Raised where an image or a patient cannot be used; carries the fault.

    Examples
    --------
    >>> raise Refusal("E101", path="sub-01/dwi/sub-01_ADC.nii.gz")  # doctest: +SKIP
    """

    def __init__(self, code: str, path: str = "", **values: Any) -> None:
        self.fault = Fault(code, path, values)
        super().__init__(self.fault.sentence)
