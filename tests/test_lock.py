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
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from reperfuse.core.provenance import closure

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
# Where a package is called otherwise: on conda-forge, and in an import.
ON_CONDA = {"matplotlib-base": "matplotlib", "pytorch": "torch", "huggingface_hub": "huggingface-hub"}
# conda-forge ships Fabric inside this package, under the same version.
ON_CONDA |= {"pytorch-lightning": "lightning-fabric"}
IMPORTED = {"PIL": "pillow", "yaml": "pyyaml", "ants": "antspyx", "sklearn": "scikit-learn"}
IMPORTED |= {"lightning_fabric": "lightning-fabric"}
OF_TORCH = {"filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "typing-extensions"}


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


def env_packages(path: Path) -> dict[str, str]:
    """Return package and exact version of each entry of a conda environment, by their names on PyPI."""
    env = yaml.safe_load(path.read_text())
    assert env["channels"] == ["conda-forge", "nodefaults"]
    found = {}
    for entry in env["dependencies"]:
        name, version = re.fullmatch(r"([a-z0-9_-]+) =([0-9.]+)", entry).groups()
        found[ON_CONDA.get(name, name)] = version
    return found


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_a_conda_environment_has_the_locked_versions(path: Path) -> None:
    packages = env_packages(path)
    python = packages.pop("python")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SpecifierSet(project["requires-python"]).contains(f"{python}.0")
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    have = versions("default", **environment) | versions("fetch", **environment) | torch_version()
    assert packages == {name: have[name] for name in packages}


def test_conda_environments_have_one_python() -> None:
    assert len({env_packages(path)["python"] for path in ENVS}) == 1


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
    assert reached <= env_packages(ROOT / f"envs/{env}.yaml").keys()


def test_the_package_imports_what_it_asks_for_and_nothing_else() -> None:
    used = imports([*(ROOT / "workflow/reperfuse").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])
    # statsmodels takes and gives pandas' tables, and pins no version of it.
    assert used | {"snakemake", "pandas"} == (wanted("default").keys() | {"torch"}) - (OF_TORCH - used)


@pytest.mark.parametrize("name", ["default", "dev", "fetch", "slurm"])
def test_every_direct_dependency_is_explained(name: str) -> None:
    page = (ROOT / "docs/dependencies.md").read_text().lower()
    missing = [package for package in wanted(name) if f"`{package}`" not in page]
    assert missing == []
