"""What a result was made from: digests of code and configuration, content stamps of raw files.

Standard library only: the Snakefile imports this module in every job.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from reperfuse.core.files import read_json_or, write_json

PACKAGE = "reperfuse"


def digest(content: Any) -> str:
    """Return 16 hex digits for a JSON-like value; key order and tuple or list make no difference."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _canonical(node: Any) -> Any:
    """Return nested tuples of a syntax tree without positions, docstrings and empty fields.

    Empty fields are dropped because later Pythons add some; comments and layout never reach the tree.
    """
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and value and _is_docstring(node, value[0]):
                value = value[1:]
            if value is not None and value != []:
                fields.append((name, _canonical(value)))
        return (type(node).__name__, *fields)
    if isinstance(node, list):
        return tuple(map(_canonical, node))
    return (type(node).__name__, repr(node))


def _is_docstring(parent: ast.AST, first: ast.AST) -> bool:
    return (
        isinstance(parent, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _imports(tree: ast.AST, file: Path, library: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = file.parent.relative_to(library).parts
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join((*parts, base) if base else parts)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _module_files(name: str, library: Path) -> Iterator[Path]:
    """Yield the source files that importing a dotted name of the package executes."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        base = Path(library, *parts[:i])
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                yield path


class Parsed:
    """Digests and imports of files of code, known by their content: parsing all of them takes a second.

    Parameters
    ----------
    cache : Path, optional
        JSON file, written by :meth:`save`.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self._known: dict[str, list[Any]] = read_json_or(cache, {}) if cache else {}
        self._used: dict[str, list[Any]] = {}
        self._found: dict[Path, tuple[str, tuple[Path, ...]]] = {}

    def of(self, file: Path, library: Path) -> tuple[str, tuple[Path, ...]]:
        """Return the digest of one file's code and the package's files that it imports."""
        if file not in self._found:
            content = file.read_bytes()
            # Where it lies decides what a relative import means.
            place = file.relative_to(library).as_posix() if library in file.parents else file.name
            key = f"{place} {hashlib.sha256(content).hexdigest()}"
            entry = self._known.get(key)
            if entry is None:
                tree = ast.parse(content.decode("utf-8"))
                names = sorted({n for n in _imports(tree, file, library) if n.split(".")[0] == PACKAGE})
                entry = [digest(repr(_canonical(tree))), names]
            self._used[key] = entry
            reached = dict.fromkeys(path for name in entry[1] for path in _module_files(name, library))
            self._found[file] = str(entry[0]), tuple(reached)
        return self._found[file]

    def save(self) -> None:
        """Write the cache if it changed; files that are gone are forgotten."""
        if self.cache and self._used != self._known:
            write_json(self.cache, self._used)


def closure(script: Path, library: Path, parsed: Parsed | None = None) -> list[Path]:
    """Return a script and every module of the package that it reaches, sorted."""
    parsed = parsed or Parsed()
    seen: set[Path] = set()
    todo = [Path(script)]
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            todo.extend(parsed.of(file, library)[1])
    return sorted(seen)


def code_digest(
    script: Path, library: Path, files: Iterable[Path] = (), *, parsed: Parsed | None = None
) -> str:
    """Return the digest of a script, the modules that it reaches and further files.

    Parameters
    ----------
    script : Path
        A rule's script.
    library : Path
        The folder that holds the package.
    files : iterable of Path
        Taken byte by byte: environment file, lock, templates. Names count, folders do not, so that a moved
        clone has the same digest.
    parsed : Parsed, optional
        What is known of the code already.
    """
    parsed = parsed or Parsed()
    parts = [(file.name, parsed.of(file, library)[0]) for file in closure(script, library, parsed)]
    parts += [(file.name, _bytes_digest(file)) for file in sorted(files)]
    return digest(sorted(parts))


@cache
def _bytes_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def file_digest(file: Path) -> str:
    """Return 32 hex digits for a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def annex_key(path: Path) -> str | None:
    """Return the git-annex key that a link names, which is its content's identity."""
    if not path.is_symlink():
        return None
    target = os.readlink(path)
    return os.path.basename(target) if "/annex/objects/" in target else None


class Stamps:
    """Content stamps of raw files: the annex key, or sha256 cached by size and mtime in nanoseconds.

    A file replaced by another one with an old date gets a new stamp; only one of the same size and the same
    nanosecond would not.

    Parameters
    ----------
    root : Path
        The dataset. Paths are given and cached relative to it.
    cache : Path
        JSON file, written by :meth:`save`.

    Attributes
    ----------
    sizes : dict
        Bytes of each file that was stamped and is there.
    """

    def __init__(self, root: Path, cache: Path) -> None:
        self.root, self.cache = Path(root), Path(cache)
        self._known: dict[str, list[Any]] = read_json_or(cache, {})
        self._used: dict[str, list[Any]] = {}
        self.sizes: dict[str, int] = {}

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the stamp of each file; files that cannot be read are left out."""
        with ThreadPoolExecutor() as pool:
            stamps = pool.map(self._stamp, paths := list(paths))
            return {path: stamp for path, stamp in zip(paths, stamps, strict=True) if stamp}

    def _stamp(self, path: str) -> str:
        file = self.root / path
        key = annex_key(file)
        try:
            stat = file.stat()
            self.sizes[path] = stat.st_size
            if key:
                return key
            entry = self._known.get(path)
            if entry is None or entry[:2] != [stat.st_size, stat.st_mtime_ns]:
                entry = [stat.st_size, stat.st_mtime_ns, file_digest(file)]
        except OSError:
            return key or ""
        self._used[path] = entry
        return str(entry[2])

    def save(self) -> None:
        """Write the cache if it changed; files that are gone are forgotten."""
        if self._used != self._known:
            write_json(self.cache, self._used)


def stamp_of(path: Path, cache: Path, *, keep: bool) -> str:
    """Return the content stamp of one file, or its name where it cannot be read.

    Parameters
    ----------
    path : Path
    cache : Path
        See `Stamps`; the file is known there by its name, wherever it lies.
    keep : bool
        Whether to write the cache: one process of a run does.
    """
    stamps = Stamps(path.parent, cache)
    found = stamps.of([path.name])
    if keep:
        stamps.save()
    return found.get(path.name, path.name)
