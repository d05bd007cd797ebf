"""What packages are called on conda-forge, on PyPI, and in an import; what an environment asks for."""

from __future__ import annotations

from pathlib import Path

import yaml
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parent.parent
ENVS = sorted((ROOT / "envs").glob("*.yaml"))

# conda-forge → PyPI, where the same package is called otherwise.
ON_PYPI = {"matplotlib-base": "matplotlib", "pytorch": "torch", "huggingface_hub": "huggingface-hub"}
ON_CONDA = {pypi: conda for conda, pypi in ON_PYPI.items()}
# A package that holds another one of the same version, which conda-forge does not have by itself.
INSIDE = {"pytorch-lightning": "lightning-fabric"}
# Import → PyPI.
IMPORTED = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "ants": "antspyx",
    "sklearn": "scikit-learn",
    "lightning_fabric": "lightning-fabric",
}


def specs(env: Path) -> list[MatchSpec]:
    """Return what an environment asks for; a spec that conda would read otherwise than it looks is an error."""
    content = yaml.safe_load(env.read_text(encoding="utf-8"))
    assert content.keys() == {"channels", "dependencies"}
    assert content["channels"] == ["conda-forge", "nodefaults"]
    return [MatchSpec(one, strict=True) for one in content["dependencies"]]


def exact(env: Path) -> dict[str, str]:
    """Return package, by its name on conda-forge, and exact version of each entry of an environment."""
    found = {}
    for spec in specs(env):
        assert spec.name is not None and spec.version is not None and spec.build is None, spec
        version = str(spec.version)
        assert version.endswith(".*") and version[:-2].replace(".", "").isdigit(), spec
        found[spec.name.normalized] = version.removesuffix(".*")
    assert len(found) == len(specs(env))
    return found


def packages_of(env: Path) -> dict[str, str]:
    """Return package and exact version of each entry of an environment, by their names on PyPI."""
    return {INSIDE.get(name, ON_PYPI.get(name, name)): version for name, version in exact(env).items()}
