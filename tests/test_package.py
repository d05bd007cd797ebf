"""What a user gets: the wheel, the profiles, the papers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from reperfuse.core.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CARRIED = (
    "workflow/rules",
    "workflow/schemas",
    "workflow/report",
    "scripts",
    "envs",
    "profiles",
    "config",
    "resources",
)


def files(folder: str) -> list[str]:
    """Return every file of a folder, without what Python leaves there."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_library_and_the_workflow(wheel: Path) -> None:
    assert wheel.name == f"reperfuse-{VERSION}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    library = {path.removeprefix("workflow/") for path in files("workflow/reperfuse")}
    carried = {f"reperfuse/_workflow/{path}" for folder in CARRIED for path in files(folder)}
    alone = {"reperfuse/_workflow/Snakefile", "reperfuse/_workflow/requirements/default.txt"}
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == library | carried | alone
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_installed_command_finds_its_workflow(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    found = (
        "from importlib.metadata import version; from reperfuse.cli import workflow_root;"
        "print(workflow_root()); print(version('reperfuse'))"
    )
    run = {
        "cwd": tmp_path,
        "env": {**os.environ, "PYTHONPATH": str(target)},
        "text": True,
        "capture_output": True,
    }
    root, version = subprocess.run([sys.executable, "-c", found], check=True, **run).stdout.split("\n")[:2]
    assert Path(root) == target / "reperfuse/_workflow"
    assert version == VERSION
    assert (target / "bin/reperfuse").is_file()
    done = subprocess.run([sys.executable, "-m", "reperfuse.cli", "--help"], check=True, **run)
    assert "research use only" in done.stdout


def test_the_default_profile_is_found_beside_the_snakefile(monkeypatch: pytest.MonkeyPatch) -> None:
    from snakemake.cli import parse_args

    monkeypatch.chdir(ROOT)
    _, args = parse_args([])
    assert {str(trigger) for trigger in args.rerun_triggers} == {"mtime", "params", "input"}
    assert args.keep_going
    assert args.rerun_incomplete
    assert args.scheduler == "greedy"
    assert args.resources["gpu"] == 1


def test_other_profiles_only_add_to_the_default_one() -> None:
    profiles = {
        path.parent.name: yaml.safe_load(path.read_text())
        for path in (ROOT / "profiles").glob("*/config.yaml")
    }
    assert profiles.keys() == {"default", "conda", "slurm"}
    assert not profiles["conda"].keys() & profiles["default"].keys()
    assert not profiles["slurm"].keys() & profiles["default"].keys()


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes is not None
    assert VERSION == citation["version"] == changes.group(1)
    assert citation["license"] == PROJECT["license"]


def test_the_container_is_made_of_files_that_exist() -> None:
    text = re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text())
    copied = [
        source for line in re.findall(r"^COPY (.+)", text, re.MULTILINE) for source in line.split()[:-1]
    ]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    installed = re.findall(r"-r (\S+)", text)
    assert installed == ["requirements/default.txt", "requirements/torch.txt"] and set(installed) <= set(
        copied
    )
    needed = {folder.split("/")[0] for folder in CARRIED} | {"Snakefile", *installed}
    assert needed <= set(copied)
    [module] = re.findall(r'^ENTRYPOINT \["python", "-m", "([\w.]+)"\]', text, re.MULTILINE)
    assert (ROOT / "workflow" / f"{module.replace('.', '/')}.py").is_file()
    assert re.search(r"^USER (?!root)\w+", text, re.MULTILINE)


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
