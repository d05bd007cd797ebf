"""The workflow in conda environments: created ahead, used by every rule, sealed, and with the results of a run without.

Conda's channels need not be reached: `conda_channel.py` makes one of the locked wheels, `conda_stand_in` answers for
conda. So the way that environments are deployed is tested, not whether conda-forge offers their versions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.conda_channel import download_wheels, make_channel
from tests.conda_names import ENVS, ROOT, exact
from tests.locks import torch_version, versions
from tests.workspace import SEVERITY, Workspace, copy_workflow, write_patients

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STAND_IN = Path(__file__).parent / "conda_stand_in/bin"
MINOR = next(iter({exact(path)["python"] for path in ENVS}))
CONFIG = """\
bids_dir: bids
output_dir: results
normalise: {resolution_mm: 4, affine_iterations: [20, 10], syn_iterations: [4]}
execution: {chunks: 1, device: cpu}
studies:
  outcome:
    visits: [J0]
    clinical: {J1: []}
    n_folds: 2
    repeats: 1
    platt_folds: 2
    saliency: 1
    encoder: {allow_random_weights: true, shape: [8, 32, 32]}
    finetune: {epochs: 1}
    statistics: {bootstrap: 20, swaps: 20, permutations: 2, refits: 0}
    sensitivity: {c: [1], components: [], method: [], kernel: [], order: [], lesion: {}}
"""
CONFIG += SEVERITY
MRS = (0, 4, 1, 5)  # the study needs patients of either outcome in each fold


def interpreter(minor: str) -> Path | None:
    """Return an interpreter of a minor version of Python that can be started."""
    installed = sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python{minor}"))
    for candidate in filter(None, (shutil.which(f"python{minor}"), *map(str, installed))):
        command = [candidate, "-c", "import sys; print(sys.executable)"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return Path(done.stdout.strip())
    return None


@dataclass(frozen=True)
class Conda:
    """A local channel, and the folder that environments are created in."""

    channels: Path
    prefix: Path

    @property
    def options(self) -> tuple[str, ...]:
        return ("--profile", "profiles/conda", "--conda-prefix", str(self.prefix))


@pytest.fixture(scope="module")
def conda(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conda]:
    """A channel with the locked versions, and the stand-in for conda in front of the path."""
    python = interpreter(MINOR)
    if python is None:
        pytest.skip(f"no Python {MINOR}, for which envs/ are")
    folder = tmp_path_factory.mktemp("conda")
    wanted = {name: version for path in ENVS for name, version in exact(path).items() if name != "python"}
    place = {"python_version": MINOR, "python_full_version": f"{MINOR}.0"}
    locked = versions("default", **place) | versions("fetch", **place) | torch_version()
    try:
        wheels = download_wheels(folder / "wheels", python, wanted, locked)
        make_channel(folder / "channels/conda-forge", python, wheels)
        shutil.rmtree(folder / "wheels")
        with pytest.MonkeyPatch.context() as patch:
            beside = Path(sys.executable).parent  # the stand-in needs the packages of this Python
            patch.setenv("PATH", os.pathsep.join([str(STAND_IN), str(beside), os.environ["PATH"]]))
            patch.setenv("CONDA_STAND_IN_CHANNELS", f"file://{folder}/channels/")
            patch.setenv("CONDA_STAND_IN_CACHE", str(folder / "cache"))
            patch.delenv(
                "PYTHONDONTWRITEBYTECODE", raising=False
            )  # packages are compiled when they are first used
            yield Conda(folder / "channels", folder / "envs")
    finally:
        shutil.rmtree(folder)  # gigabytes, of which pytest would keep those of three runs


@pytest.fixture(scope="module")
def deployed(conda: Conda, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A workspace whose environments are created, and what Snakemake printed."""
    workspace = Workspace(tmp_path_factory.mktemp("deployed"))
    copy_workflow(workspace.path)
    (workspace.path / "config.yaml").write_text(CONFIG)
    write_patients(workspace.path / "bids", len(MRS))
    table = workspace.path / "bids/phenotype/mrs.tsv"
    head, *rows = table.read_text().splitlines()
    assert head == "participant_id\tmrs_prestroke\tmrs_3m"
    rows = [f"{row.split()[0]}\t0\t{mrs}" for row, mrs in zip(rows, MRS, strict=True)]
    table.write_text("\n".join([head, *rows, ""]))
    asked = ("--conda-create-envs-only", "--cores", "1", "all", "fetch_weights")
    return workspace, workspace.snakemake(*conda.options, *asked)


@pytest.fixture(scope="module")
def finished(conda: Conda, deployed: tuple[Workspace, str]) -> tuple[Workspace, Workspace, str]:
    """Two finished workspaces, without conda and with it; what the second run printed, that could reach no channel."""
    inside, _ = deployed
    plain = Workspace(inside.path.with_name("plain"))
    shutil.copytree(inside.path, plain.path)
    plain.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDA_STAND_IN_CHANNELS", "file:///nowhere/")
        printed = inside.snakemake(*conda.options, "--cores", "2")
    return plain, inside, printed


def test_every_environment_is_created_ahead_of_the_run(conda: Conda, deployed: tuple[Workspace, str]) -> None:
    workspace, printed = deployed
    created = dict(re.findall(r"Environment for \S+/envs/(\w+)\.yaml created \(location: (\S+)\)", printed))
    assert created.keys() == {path.stem for path in ENVS}
    for path in ENVS:
        prefix = workspace.path / created[path.stem]
        assert prefix.resolve().parent == conda.prefix
        installed = {one["name"]: one["version"] for one in map(read, (prefix / "conda-meta").glob("*.json"))}
        assert installed.pop("python").startswith(f"{MINOR}.")
        assert exact(path).items() - {("python", MINOR)} <= installed.items()


def read(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text()))


def results(workspace: Workspace) -> dict[str, bytes]:
    """Return the content of every result, without what tells times: of runs, of epochs, and of raw files."""
    root = workspace.path / "results"
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    found = {str(path.relative_to(root)): path.read_bytes() for path in files}
    return {
        name: data
        for name, data in found.items()
        if not name.startswith(("benchmarks/", "logs/", "work/stamps"))
    }


def test_the_results_are_those_of_a_run_without_conda(finished: tuple[Workspace, Workspace, str]) -> None:
    plain, inside, printed = finished
    used = set(re.findall(r"Activating conda environment: (\S+)", printed))
    assert len(used) == len(ENVS) - 1  # all but the one of fetching weights
    expected, found = results(plain), results(inside)
    assert found.keys() == expected.keys()
    assert {"lesions.tsv", "outcome/predictions.tsv", "report/outcome.html"} <= found.keys()
    assert b"finetuned" in found["outcome/predictions.tsv"]
    assert [name for name in found if found[name] != expected[name]] == []


def test_with_or_without_conda_nothing_runs_again(
    conda: Conda, finished: tuple[Workspace, Workspace, str]
) -> None:
    plain, inside, _ = finished
    assert not inside.would_run()
    assert not plain.jobs(*conda.options, "--dry-run", "--cores", "1")
    assert not inside.jobs(*conda.options, "--dry-run", "--cores", "1")


LEAK = f"""\
import sys

sys.path.insert(0, {str(ROOT / "workflow")!r})


rule look:
    output:
        "found.json",
    conda:
        "python.yaml"
    script:
        "look.py"
"""
LOOK = """\
import importlib.util
import json
import sys

found = {"python": sys.version_info[:2], "prefix": sys.prefix, "before": importlib.util.find_spec("numpy").origin}
import reperfuse

try:
    import numpy
except ImportError as error:
    found["error"] = str(error)
with open(snakemake.output[0], "w") as stream:
    json.dump(found, stream)
"""


def test_an_environment_without_numpy_does_not_borrow_it(conda: Conda, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(LEAK)
    (tmp_path / "look.py").write_text(LOOK)
    (tmp_path / "python.yaml").write_text(f"channels: [conda-forge]\ndependencies: [python ={MINOR}]\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--sdm", "conda"]
    command += ["--conda-prefix", str(conda.prefix)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert ".".join(map(str, found["python"])) == MINOR
    assert Path(found["prefix"]).parent == conda.prefix
    assert not found["before"].startswith(found["prefix"])  # Snakemake's, which the seal is against
    assert found["error"] == "No module named 'numpy'"


def test_an_environment_is_pinned_and_created_from_its_pins(conda: Conda, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    copy_workflow(tmp_path)
    write_patients(tmp_path / "bids", 1)
    pin = [
        sys.executable,
        "envs/pin.py",
        "--channel-alias",
        f"file://{conda.channels}/",
        "envs/reporting.yaml",
    ]
    subprocess.run(pin, cwd=tmp_path, check=True)
    [pinned] = tmp_path.glob("envs/*.pin.txt")
    assert pinned.name == "reporting.linux-64.pin.txt"
    first = pinned.read_text()
    subprocess.run(pin, cwd=tmp_path, check=True)
    assert pinned.read_text() == first
    comment, head, *lines = first.splitlines()
    assert comment.startswith("#") and head == "@EXPLICIT"
    assert all(
        re.fullmatch(r"file:///\S+/conda-forge/(noarch|linux-64)/\S+\.conda#[0-9a-f]{32}", line)
        for line in lines
    )
    named = {Path(line.partition("#")[0]).stem.removesuffix("-0") for line in lines}
    printed = workspace.snakemake(*conda.options, "--conda-create-envs-only", "--cores", "1")
    assert "Using pinnings from" in printed and "Failed to install" not in printed
    [prefix] = re.findall(r"reporting\.yaml created \(location: (\S+)\)", printed)
    installed = {
        f"{one['name']}-{one['version']}" for one in map(read, (tmp_path / prefix).glob("conda-meta/*.json"))
    }
    assert installed == named
