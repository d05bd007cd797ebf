"""The locks: exact, complete, and the same everywhere."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rattler.exceptions import InvalidMatchSpecError

from reperfuse.core.provenance import closure
from tests.conda_names import ENVS, IMPORTED, ROOT, exact, packages_of
from tests.locks import REQUIREMENTS, locked, torch_version, versions, wanted

OF_TORCH = {"filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "typing-extensions"}


@pytest.mark.parametrize("name", ["default", "dev", "fetch", "slurm"])
def test_a_lock_names_one_version_with_hashes_and_holds_what_is_wanted(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(name)) > 0
    for entry in entries:
        assert re.match(r"[\w.-]+==[^\s;]+", entry), entry
        assert "--hash=sha256:" in entry, entry
    have = versions(name)
    for package, requirement in wanted(name).items():
        assert requirement.specifier.contains(have[package]), requirement


@pytest.mark.parametrize("other", ["dev", "fetch", "slurm"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_locks_that_are_installed_together_agree(other: str, python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    first, second = versions("default", **environment), versions(other, **environment)
    assert {k: v for k, v in second.items() if k in first} == {k: first[k] for k in second if k in first}


@pytest.mark.parametrize("names", [("default",), ("default", "dev")])
def test_the_locks_are_complete_because_pip_adds_nothing(names: tuple[str, ...]) -> None:
    have = {package: version for name in names for package, version in versions(name).items()}
    have |= torch_version()
    checked = 0
    for package in have:
        try:
            requires = metadata.requires(package) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, requires):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                version = have.get(canonicalize_name(requirement.name))
                assert version is not None, f"{package} needs {requirement}"
                assert requirement.specifier.contains(version, prereleases=True), (
                    f"{package} needs {requirement}"
                )
                checked += 1
    assert checked > 100


def test_torch_is_pinned_by_version_alone_and_brings_nothing_unlocked() -> None:
    text = (REQUIREMENTS / "torch.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == 1
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", lines[0])
    assert versions("default").keys() >= OF_TORCH


def test_the_package_asks_for_what_the_lock_was_made_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {canonicalize_name(r.name): r for r in map(Requirement, project["dependencies"])}
    assert str(asked.pop("torch").specifier) == f"=={torch_version()['torch']}"
    direct = wanted("default")
    assert asked == {k: v for k, v in direct.items() if k in asked}
    assert direct.keys() - asked.keys() <= OF_TORCH


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_a_conda_environment_has_the_locked_versions(path: Path) -> None:
    packages = packages_of(path)
    python = packages.pop("python")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SpecifierSet(project["requires-python"]).contains(f"{python}.0")
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    have = versions("default", **environment) | versions("fetch", **environment) | torch_version()
    assert packages == {name: have[name] for name in packages}


@pytest.mark.parametrize(
    "spec", ["numpy", "numpy >=2.3.5", "numpy =2.3.5=h*", "numpy =2.3.*", "numpy ===", "n umpy =2"]
)
def test_an_environment_that_is_not_exact_is_found(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "env.yaml"
    path.write_text(f"channels: [conda-forge, nodefaults]\ndependencies: ['{spec}']\n")
    with pytest.raises((AssertionError, InvalidMatchSpecError)):
        exact(path)


def test_conda_environments_have_one_python() -> None:
    assert len({packages_of(path)["python"] for path in ENVS}) == 1


RULES = sorted(
    set(
        re.findall(
            r"\bcode\(\"(\w+)\", \"(\w+)\"",
            "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")),
        )
    )
)


def imports(files: Iterable[Path]) -> set[str]:
    """Return the packages that files import at any depth, by their names on PyPI."""
    names: set[str] = set()
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return {IMPORTED.get(name, name) for name in names - {"reperfuse", *sys.stdlib_module_names}}


@pytest.mark.parametrize(("script", "env"), RULES)
def test_an_environment_holds_what_its_script_reaches(script: str, env: str) -> None:
    reached = imports(closure(ROOT / f"scripts/{script}.py", ROOT / "workflow"))
    assert reached <= packages_of(ROOT / f"envs/{env}.yaml").keys()


# What an environment names besides: pandas for its upper bound, statsmodels' tables being of it; the hub's client is
# imported by its name as text.
BESIDES = {"study": {"pandas"}, "fetch": {"huggingface-hub"}}


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_an_environment_holds_nothing_more(path: Path) -> None:
    scripts = [ROOT / f"scripts/{script}.py" for script, env in RULES if env == path.stem]
    reached = set().union(*(imports(closure(script, ROOT / "workflow")) for script in scripts))
    assert packages_of(path).keys() - reached == {"python"} | BESIDES.get(path.stem, set())


def test_the_package_imports_what_it_asks_for_and_nothing_else() -> None:
    used = imports([*(ROOT / "workflow/reperfuse").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])
    # statsmodels takes and gives pandas' tables, and pins no version of it.
    assert used | {"snakemake", "pandas"} == (wanted("default").keys() | {"torch"}) - (OF_TORCH - used)


@pytest.mark.parametrize("name", ["default", "dev", "fetch", "slurm"])
def test_every_direct_dependency_is_explained(name: str) -> None:
    page = (ROOT / "docs/dependencies.md").read_text().lower()
    missing = [package for package in wanted(name) if f"`{package}`" not in page]
    assert missing == []
