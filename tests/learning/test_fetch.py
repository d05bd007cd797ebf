from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from reperfuse.core.errors import ConfigError, Refusal
from reperfuse.core.files import read_json, write_json
from reperfuse.learning import fetch as module
from reperfuse.learning.fetch import fetch, main, manifest
from reperfuse.learning.weights import card_path

SOURCE = {"repo": "TencentMedicalNet/MedicalNet-Resnet50", "filename": "r.pth", "revision": "main"}
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    """A hub without a network; ``content`` is what it serves, ``head`` the branch's commit."""
    state = SimpleNamespace(content=b"weights", head=FIRST, asked=[], error=None)

    class Api:
        def model_info(self, repo: str, *, revision: str):
            state.asked.append(("resolve", repo, revision))
            if state.error:
                raise state.error
            return SimpleNamespace(sha=state.head)

    def download(repo: str, filename: str, *, revision: str, local_dir: str) -> str:
        state.asked.append(("download", filename, revision))
        path = Path(local_dir) / filename
        path.write_bytes(state.content)
        return str(path)

    def stand_in(checkpoint: Path, target: Path, *, card):
        full = {
            **card,
            "source_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
            "sha256": "s",
            "n_keys": 1,
        }
        target.write_bytes(b"converted")
        write_json(card_path(target), full)
        return full

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=Api, hf_hub_download=download))
    monkeypatch.setattr(module, "convert", stand_in)
    return state


def test_a_branch_is_resolved_to_a_commit_which_the_card_keeps(hub, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    card = fetch(target, **SOURCE)
    assert hub.asked == [("resolve", SOURCE["repo"], "main"), ("download", "r.pth", FIRST)]
    assert card == read_json(card_path(target))
    assert (card["repository"], card["revision"], card["filename"]) == (SOURCE["repo"], FIRST, "r.pth")


def test_a_second_fetch_takes_the_recorded_commit_and_compares(hub, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    first = fetch(target, **SOURCE)
    hub.head, hub.asked = SECOND, []
    assert fetch(target, **SOURCE) == first
    assert hub.asked == [("download", "r.pth", FIRST)]
    target.unlink()
    hub.content = b"other weights"
    with pytest.raises(Refusal) as caught:
        fetch(target, **SOURCE)
    assert caught.value.fault.code == "E200"
    assert first["source_sha256"] in str(caught.value)
    assert not target.exists()


def test_the_card_of_another_file_is_not_overwritten(hub, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    fetch(target, **SOURCE)
    with pytest.raises(Refusal, match=r"card of TencentMedicalNet.*r\.pth"):
        fetch(target, **{**SOURCE, "filename": "other.pth"})


def test_a_card_without_a_commit_pins_nothing(hub, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    write_json(card_path(target), {"filename": "mine.pth"})
    assert fetch(target, **SOURCE)["revision"] == FIRST


def test_a_hub_that_does_not_answer_or_gives_no_commit_is_said(hub, tmp_path: Path) -> None:
    hub.error = OSError("no route to host\nlong trace")
    with pytest.raises(ConfigError, match=r"could not be fetched \(OSError: no route to host\)"):
        fetch(tmp_path / "w.safetensors", **SOURCE)
    hub.error, hub.head = None, "main"
    with pytest.raises(ConfigError, match="main is not a commit"):
        fetch(tmp_path / "w.safetensors", **SOURCE)
    assert not list(tmp_path.iterdir())


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main([str(tmp_path / "w.safetensors")]) == 1
    told = capsys.readouterr().err
    assert "pip install huggingface_hub" in told
    assert "https://huggingface.co/TencentMedicalNet/MedicalNet-Resnet50" in told


def test_the_command_takes_what_the_manifest_names(hub, tmp_path: Path, capsys) -> None:
    entry = manifest()
    assert entry["repository"] == "TencentMedicalNet/MedicalNet-Resnet50"
    assert entry["filename"] == "resnet_50_23dataset.pth"
    assert entry["licence"] == "MIT"
    assert main([str(tmp_path / "w.safetensors"), "v1"]) == 0
    assert hub.asked[0] == ("resolve", entry["repository"], "v1")
    assert FIRST in capsys.readouterr().out


def test_a_manifest_that_is_not_there_is_said(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "MANIFESTS", (tmp_path / "weights.toml",))
    with pytest.raises(ConfigError, match=r"weights\.toml"):
        manifest()
