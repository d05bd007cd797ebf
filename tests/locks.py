"""What the locks in requirements/ say."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"


def wanted(name: str) -> dict[str, Requirement]:
    """Return what an ``.in`` file asks for."""
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    found = [Requirement(line) for line in lines if line.strip() and line[0] not in "#-"]
    return {canonicalize_name(one.name): one for one in found}


def locked(name: str) -> list[Requirement]:
    """Return every entry of a lock."""
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    return [Requirement(line.rstrip("\\ ")) for line in re.findall(r"^[A-Za-z0-9].*", text, re.MULTILINE)]


def torch_version() -> dict[str, str]:
    """Return PyTorch's version, which stands in a file of its own."""
    [line] = [one for one in (REQUIREMENTS / "torch.txt").read_text().splitlines() if one and one[0] != "#"]
    return {"torch": line.removeprefix("torch==")}


def versions(name: str, **environment: str) -> dict[str, str]:
    """Return the version of each package that a lock gives to a Python."""
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in locked(name)
        if one.marker is None or one.marker.evaluate(environment)
    }
