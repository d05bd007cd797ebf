"""A local conda channel, made from a Python interpreter and from wheels, in which envs/ can be solved.

It stands in for conda-forge where that cannot be reached, and shows that the environments can be created and used, not
that conda-forge offers their versions: the names are conda's, the content is PyPI's.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import IO

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conda_names import ON_CONDA, ON_PYPI

BLOCK = 1 << 17
SUBDIR = "linux-64"
ABOUT_PYTHON = """
import json, platform, sys, sysconfig
version = ".".join(platform.python_version_tuple())
print(json.dumps([version, sys.base_prefix, sysconfig.get_path("stdlib"), sysconfig.get_config_var("LIBDIR")]))
"""
# Parts of the standard library that no rule imports.
NOT_NEEDED = {
    "site-packages",
    "dist-packages",
    "test",
    "__pycache__",
    "idlelib",
    "turtledemo",
    "tkinter",
    "ensurepip",
}
# What PyTorch's build for GPUs asks for and only compiles kernels with; importing it does without.
FOR_GPU = {"triton", "cuda-bindings", "cuda-pathfinder"}


@dataclass(frozen=True)
class Package:
    """What a conda package says about itself; ``noarch`` is Python code for any version of it."""

    name: str
    version: str
    depends: list[str]
    noarch: bool = False
    entry_points: list[str] = field(default_factory=list)

    @property
    def subdir(self) -> str:
        return "noarch" if self.noarch else SUBDIR

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-0"

    @property
    def index(self) -> dict[str, object]:
        """What the solver reads of it."""
        fields = {"name": self.name, "version": self.version, "build": "0", "build_number": 0}
        fields |= {"depends": self.depends, "subdir": self.subdir, "timestamp": 1_700_000_000_000}
        return fields | ({"noarch": "python"} if self.noarch else {})


class _Stored:
    """A Zstandard stream (RFC 8878) whose blocks are stored and not compressed; wheels were compressed once."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        file.write(b"\x28\xb5\x2f\xfd\x00\x38")  # magic number, no options, a window of 128 KiB

    def write(self, data: bytes, last: int = 0) -> None:
        for start in range(0, len(data) or 1, BLOCK):
            block = data[start : start + BLOCK]
            self.file.write((len(block) << 3 | last).to_bytes(3, "little"))
            self.file.write(block)


def _add_tar(
    archive: zipfile.ZipFile, name: str, files: Iterable[tuple[str, bytes | Path]]
) -> list[dict[str, object]]:
    """Write the files into a member of a conda package; return what ``paths.json`` says of them."""
    paths: list[dict[str, object]] = []
    with archive.open(name, "w", force_zip64=True) as member:
        stream = _Stored(member)
        with tarfile.open(fileobj=stream, mode="w|", bufsize=BLOCK) as tar:  # type: ignore[call-overload]
            for path, source in files:
                info = tarfile.TarInfo(path)
                data, info.mode = b"", 0o644
                if isinstance(source, bytes):
                    data = source
                elif source.is_symlink():
                    info.type, info.linkname = tarfile.SYMTYPE, str(source.readlink())
                else:
                    data, info.mode = source.read_bytes(), 0o755 if os.access(source, os.X_OK) else 0o644
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
                kind = "softlink" if info.issym() else "hardlink"
                digest = hashlib.sha256(data).hexdigest()
                paths.append({"_path": path, "path_type": kind, "sha256": digest, "size_in_bytes": len(data)})
        stream.write(b"", last=1)
    return paths


def write_package(channel: Path, package: Package, files: Iterable[tuple[str, bytes | Path]]) -> None:
    """Write a ``.conda`` package."""
    stem, about = package.stem, {"info/index.json": package.index}
    if package.noarch:
        noarch = {"type": "python", "entry_points": package.entry_points}
        about["info/link.json"] = {"noarch": noarch, "package_metadata_version": 1}
    target = channel / package.subdir / f"{stem}.conda"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        paths = _add_tar(archive, f"pkg-{stem}.tar.zst", files)
        about["info/paths.json"] = {"paths": paths, "paths_version": 1}
        texts = [(name, json.dumps(content).encode()) for name, content in about.items()]
        _add_tar(archive, f"info-{stem}.tar.zst", texts)


def write_index(channel: Path, packages: Iterable[Package]) -> None:
    """Write what a solver reads of a channel."""
    packages = list(packages)
    for subdir in ("noarch", SUBDIR):
        entries = {}
        for package in (one for one in packages if one.subdir == subdir):
            path = channel / subdir / f"{package.stem}.conda"
            entry = {**package.index, "size": path.stat().st_size}
            for kind in ("md5", "sha256"):
                with path.open("rb") as stream:
                    entry[kind] = hashlib.file_digest(stream, kind).hexdigest()
            entries[path.name] = entry
        index = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": entries, "repodata_version": 1}
        (channel / subdir).mkdir(parents=True, exist_ok=True)
        (channel / subdir / "repodata.json").write_text(json.dumps(index))


def package_python(channel: Path, python: Path) -> Package:
    """Package an interpreter with its standard library."""
    out = subprocess.run([python, "-c", ABOUT_PYTHON], check=True, capture_output=True, text=True).stdout
    version, prefix, stdlib, libraries = json.loads(out)
    minor = version.rpartition(".")[0]

    def files() -> Iterator[tuple[str, bytes | Path]]:
        interpreter = (Path(prefix) / f"bin/python{minor}").resolve()
        for name in (f"python{minor}", "python3", "python"):
            yield f"bin/{name}", interpreter
        for folder, inside, names in os.walk(stdlib):
            inside[:] = sorted(set(inside) - NOT_NEEDED)
            place = Path(f"lib/python{minor}", os.path.relpath(folder, stdlib))
            yield from (
                (str(place / name), Path(folder, name)) for name in sorted(names) if not name.endswith(".a")
            )
        yield from (
            (f"lib/{path.name}", path) for path in sorted(Path(libraries).glob(f"libpython{minor}*.so*"))
        )

    package = Package("python", version, [])
    write_package(channel, package, files())
    return package


@dataclass(frozen=True)
class Wheel:
    """A wheel and its metadata."""

    path: Path
    about: Message
    pure: bool
    entry_points: list[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.about["Name"])

    def requires(self, python: str, *extras: str) -> list[Requirement]:
        """Return what the wheel requires for a version of Python, by itself and with extras."""
        place = {"python_version": python.rpartition(".")[0], "python_full_version": python}
        places = [place | {"extra": extra} for extra in ("", *extras)]
        every = [Requirement(one) for one in self.about.get_all("Requires-Dist", [])]
        asked = [one for one in every if one.marker is None or any(map(one.marker.evaluate, places))]
        return [one for one in asked if canonicalize_name(one.name) not in FOR_GPU]

    def files(self, site_packages: str) -> Iterator[tuple[str, bytes]]:
        """Yield where each file goes, and its content."""
        with zipfile.ZipFile(self.path) as archive:
            for name in archive.namelist():
                moved = re.fullmatch(r"[^/]+\.data/(\w+)/(.+)", name)
                if not name.endswith("/") and (moved is None or moved[1] in ("purelib", "platlib")):
                    yield f"{site_packages}/{moved[2] if moved else name}", archive.read(name)


def read_wheel(path: Path) -> Wheel:
    """Read what a wheel says about itself."""
    with zipfile.ZipFile(path) as archive:
        texts = {
            Path(name).name: archive.read(name).decode()
            for name in archive.namelist()
            if re.fullmatch(r"[^/]+\.dist-info/(METADATA|WHEEL|entry_points\.txt)", name)
        }
    scripts = configparser.ConfigParser(delimiters="=")
    scripts.optionxform = str  # type: ignore[assignment]
    scripts.read_string(texts.get("entry_points.txt", ""))
    found = scripts["console_scripts"].items() if scripts.has_section("console_scripts") else ()
    pure = "root-is-purelib: true" in texts["WHEEL"].lower()
    return Wheel(
        path, Parser().parsestr(texts["METADATA"]), pure, [f"{name} = {where}" for name, where in found]
    )


def _depends(wheel: Wheel, python: str, extras: Iterable[str]) -> list[str]:
    """Return what a wheel requires for a version of Python, as conda writes it."""
    minor = python.rpartition(".")[0]
    depends = [f"python >={minor}" if wheel.pure else f"python {minor}.*"]
    for one in wheel.requires(python, *extras):
        name = canonicalize_name(one.name)
        depends.append(f"{ON_CONDA.get(name, name)} {one.specifier}".strip())
    return depends


def make_channel(channel: Path, python: Path, wheels: Iterable[Path]) -> None:
    """Fill a folder with packages of an interpreter and of wheels, and index it.

    Conda knows no extras, so a wheel has the requirements of every extra that another wheel asks of it.
    """
    packages = [package_python(channel, python)]
    version = packages[0].version
    found = [wheel for wheel in map(read_wheel, sorted(wheels)) if wheel.name not in FOR_GPU]
    extras: dict[str, set[str]] = defaultdict(set)
    for one in (one for wheel in found for one in wheel.requires(version)):
        extras[canonicalize_name(one.name)] |= one.extras
    for wheel in found:
        name, number = ON_CONDA.get(wheel.name, wheel.name), Version(wheel.about["Version"]).public
        depends = _depends(wheel, version, extras[wheel.name])
        packages.append(Package(name, number, depends, wheel.pure, wheel.entry_points))
        where = "" if wheel.pure else f"lib/python{version.rpartition('.')[0]}/"
        write_package(channel, packages[-1], wheel.files(f"{where}site-packages"))
    write_index(channel, packages)


def download_wheels(
    folder: Path, python: Path, wanted: dict[str, str], constraints: dict[str, str]
) -> list[Path]:
    """Download the wheels of some conda packages, and of what they require, for an interpreter.

    Parameters
    ----------
    folder : Path
    python : Path
        For which the wheels are.
    wanted, constraints : dict
        Version of each package: of the packages by their names on conda-forge, and of any other by those on PyPI.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limits = folder / "constraints.txt"
    limits.write_text("".join(f"{name}=={version}\n" for name, version in constraints.items()))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "download"]
    pip += ["--only-binary", ":all:", "--dest", str(folder), "--constraint", str(limits)]
    pip += [f"{ON_PYPI.get(name, name)}=={version}" for name, version in wanted.items()]
    subprocess.run(pip, check=True)
    return sorted(folder.glob("*.whl"))
