"""BIDS file names: entities, suffix, and the patterns that give an image its role."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

LABEL = re.compile(r"[0-9A-Za-z+]+\Z")
IMAGE_EXTENSIONS = (".nii.gz", ".nii")
METADATA_EXTENSIONS = (".json", ".bval")
# The one kind of table that can stand in an image's place: the curve of an arterial input function.
CURVE_EXTENSION, CURVE_SUFFIX = ".tsv", "aif"

Pattern = Mapping[str, Any]


@dataclass(frozen=True)
class Name:
    """A file's name taken apart.

    Parameters
    ----------
    path : str
        Relative to the dataset, with forward slashes.
    entities : mapping
        ``sub``, ``ses``, ``rec``, … → label.
    suffix, extension : str
        ``ADC`` and ``.nii.gz``.
    scope : str
        ``raw``, or the name of the folder under ``derivatives``.
    """

    path: str
    entities: Mapping[str, str]
    suffix: str
    extension: str
    scope: str

    @property
    def datatype(self) -> str:
        """Name of the folder: ``dwi``, ``anat``, ``perf``."""
        return PurePosixPath(self.path).parent.name

    @property
    def is_image(self) -> bool:
        """Whether this is a NIfTI file, or a curve that stands in the place of one."""
        return self.extension in (*IMAGE_EXTENSIONS, CURVE_EXTENSION)


def parse(path: str) -> Name | None:
    """Take a relative path apart; None where the file is neither an image or curve nor its metadata."""
    base = path.rsplit("/", 1)[-1]
    if (
        not base.isprintable()
    ):  # bytes that are no UTF-8, line breaks: no name that anything later could write
        return None
    extension = next((e for e in (*IMAGE_EXTENSIONS, *METADATA_EXTENSIONS) if base.endswith(e)), "")
    if base.endswith(f"_{CURVE_SUFFIX}{CURVE_EXTENSION}"):
        extension = CURVE_EXTENSION
    if not extension:
        return None
    *pairs, suffix = base.removesuffix(extension).split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    parts = path.split("/")
    scope = parts[1] if parts[0] == "derivatives" and len(parts) > 2 else "raw"
    return Name(path, entities, suffix, extension, scope)


def matches(name: Name, pattern: Pattern) -> bool:
    """Whether a name fits a pattern.

    A pattern gives ``suffix``, ``datatype``, ``scope`` or any entity; values may hold ``*``. ``null`` means
    that the entity must be absent, a key that is not given may be anything. ``scope`` is ``raw`` unless given, and
    ``derivatives`` stands for any folder under ``derivatives``.
    """
    scope = pattern.get("scope", "raw")
    if scope == "derivatives":
        if name.scope == "raw":
            return False
    elif not fnmatchcase(name.scope, scope):
        return False
    for key, wanted in pattern.items():
        if key == "scope":
            continue
        found = {"suffix": name.suffix, "datatype": name.datatype}.get(key, name.entities.get(key))
        if wanted is None or found is None:
            if wanted is not found:
                return False
        elif not fnmatchcase(found, str(wanted)):
            return False
    return True


def choose(names: Sequence[Name], patterns: Sequence[Pattern]) -> list[Name]:
    """Return the names that fit the first pattern that any name fits."""
    for pattern in patterns:
        if fitting := [name for name in names if matches(name, pattern)]:
            return fitting
    return []


def belongs(metadata: Name, image: Name) -> bool:
    """Whether a metadata file describes an image, by BIDS' inheritance principle."""
    folder = metadata.path.rpartition("/")[0]
    above = not folder or image.path.startswith(folder + "/")
    return (
        above
        and metadata.suffix == image.suffix
        and all(image.entities.get(key) == value for key, value in metadata.entities.items())
    )
