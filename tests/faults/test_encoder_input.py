"""What the encoder of a study is given: weights that are not there, not these, or no weights; a cache gone stale."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.files import is_marker
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.studies.outcome import assemble, embedding
from reperfuse.studies.shown import shown_images
from tests.faults.build_faults import ROOT
from tests.faults.study_cases import Network, Trap, embed, encoded, shown

# 37: the cache of embeddings


def test_37_what_was_encoded_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = Network(monkeypatch), shown(tmp_path)
    first, _ = encoded(images, tmp_path)
    again, _ = encoded(images, tmp_path)
    assert network.shown == 2 and set(first) == {"sub-0/J0", "sub-1/J0"}
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_37_a_changed_image_is_encoded_anew_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images = Network(monkeypatch), shown(tmp_path)
    first, _ = encoded(images, tmp_path)
    path = images["sub-1"]["J0"]["adc"]
    data = np.random.default_rng(9).normal(700, 200, (10, 12, 8)).astype(np.float32)
    write_volume(path, Volume(data, np.diag([4.0, 4.0, 6.0, 1.0])), {})
    second, _ = encoded(images, tmp_path)
    assert network.shown == 3 and np.array_equal(first["sub-0/J0"], second["sub-0/J0"])
    assert not np.array_equal(first["sub-1/J0"], second["sub-1/J0"])
    # A mask that changed is an image that changed.
    half = np.ones((10, 12, 8), np.float32)
    half[:5] = 0
    write_volume(images["sub-0"]["J0"]["brain"], Volume(half, np.diag([4.0, 4.0, 6.0, 1.0])), {})
    encoded(images, tmp_path)
    assert network.shown == 4


@pytest.mark.parametrize(
    "changed",
    [{"shape": (8, 16, 18)}, {"clip": 2000.0}, {"background": "zero"}, {"seed": 2}, {"precision": "fast"},
     {"variant": "monai_stride32"}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_37_a_changed_setting_encodes_everybody_anew(
    changed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images = Network(monkeypatch), shown(tmp_path)
    encoded(images, tmp_path)
    encoded(images, tmp_path, **changed)
    assert network.shown == 4
    encoded(images, tmp_path)
    assert network.shown == 4  # what was there before is still there


@pytest.mark.parametrize("what", ["weights", "code"])
def test_37_other_weights_or_other_code_encode_everybody_anew(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images = Network(monkeypatch), shown(tmp_path)
    encoded(images, tmp_path)
    if what == "weights":
        network.sha256 = "1" * 64
    else:
        monkeypatch.setattr(embedding, "encoding_digest", lambda: "of other code")
    encoded(images, tmp_path)
    assert network.shown == 4


def test_37_the_code_of_the_key_is_all_that_a_vector_follows_from(tmp_path: Path) -> None:
    def with_line(number: int, part: str, line: str) -> str:
        library = tmp_path / str(number)
        shutil.copytree(
            ROOT / "workflow/reperfuse", library / "reperfuse", ignore=shutil.ignore_patterns("__pycache__")
        )
        path = library / "reperfuse" / part
        path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedding, "LIBRARY", library)
            return embedding.encoding_digest()

    same = embedding.encoding_digest()
    assert with_line(1, "networks/resnet.py", "# A comment changes nothing.\n") == same
    assert with_line(2, "studies/outcome/model.py", "OTHER = 1\n") == same
    parts = ("networks/resnet.py", "learning/encode.py", "imaging/grids.py", "core/seeds.py")
    for number, part in enumerate((*parts, "studies/outcome/embedding.py"), start=3):
        assert with_line(number, part, "OTHER = 1\n") != same
    lock = tmp_path / "default.txt"
    lock.write_text("torch==0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "LOCKS", (lock,))
        assert embedding.encoding_digest() != same


def test_37_what_a_folder_is_called_changes_no_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images = Network(monkeypatch), shown(tmp_path)
    first, _ = encoded(images, tmp_path)
    for name in ("adc", "brain"):
        (tmp_path / "sub-9").mkdir(exist_ok=True)
        shutil.copy(images["sub-0"]["J0"][name], tmp_path / f"sub-9/J0_{name}.nii.gz")
    renamed = shown_images((tmp_path / "sub-9").iterdir(), "adc", "brain", visits=("J0",))
    again, _ = encoded(renamed, tmp_path / "elsewhere")
    assert network.shown == 3 and np.array_equal(first["sub-0/J0"], again["sub-9/J0"])
    assert not np.array_equal(first["sub-0/J0"], first["sub-1/J0"])
    encoded(renamed, tmp_path)
    assert network.shown == 3  # and it is found under any name


# 62, 68, 69: weights


def test_68_without_weights_the_record_says_so_and_there_is_no_vector(tmp_path: Path) -> None:
    record = embed(tmp_path, {"weights": ""})
    (fault,) = [Fault(**fault) for fault in record["faults"]]
    assert record["state"] == "failed" and fault.code == "E200"
    assert "no file is configured" in fault.sentence and "fetch them with" in fault.sentence
    assert is_marker(tmp_path / "chunk/vectors.safetensors") and "weights" not in record["facts"]
    assert embedding.read_vectors([tmp_path / "chunk/vectors.safetensors"]) == {}
    assert assemble.stamps_of([record]) == []


@pytest.mark.parametrize(
    "name", ["resnet.pth", "resnet.pkl", "resnet.npy", "resnet.joblib", "resnet.safetensors"]
)
def test_62_weights_that_would_run_code_are_refused_and_do_not_run(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    content = pickle.dumps(Trap(mark))
    (tmp_path / name).write_bytes(content)
    record = embed(tmp_path, {"weights": str(tmp_path / name), "allow_random_weights": True})
    assert [fault["code"] for fault in record["faults"]] == ["E200"] and not mark.exists()
    assert str(tmp_path) not in json.dumps(record)
    pickle.loads(content)
    assert mark.exists()  # the trap works


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({}, "missing"),
        ({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}, "float32 64×3×7×7 instead of float32 64×1×7×7×7"),
        ({"fc.weight": np.zeros((2, 2048), np.float32)}, "1 unexpected (fc.weight)"),
    ],
    ids=["none", "three channels", "a head"],
)  # fmt: skip
def test_69_other_weights_are_refused_with_what_was_found_and_expected(
    tensors: dict[str, np.ndarray], says: str, tmp_path: Path
) -> None:
    (tmp_path / "other.safetensors").write_bytes(save(tensors))
    record = embed(tmp_path, {"weights": str(tmp_path / "other.safetensors"), "allow_random_weights": True})
    (fault,) = [Fault(**fault) for fault in record["faults"]]
    assert fault.code == "E201" and says in fault.sentence and "3-D ResNet-50 encoder" in fault.sentence
    assert is_marker(tmp_path / "chunk/vectors.safetensors")


def test_68_weights_of_another_checksum_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old.safetensors").write_bytes(save({"conv1.weight": np.zeros(1, np.float32)}))
    with pytest.raises(Refusal) as caught:
        encoded(shown(tmp_path), tmp_path, weights=tmp_path / "old.safetensors", sha256="a" * 64)
    assert caught.value.fault.code == "E200" and "a" * 64 in str(caught.value)
