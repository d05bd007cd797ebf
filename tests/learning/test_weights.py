from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reperfuse.core.errors import Refusal
from reperfuse.core.files import read_json, write_json
from reperfuse.learning.weights import card_path, convert, load_encoder, main
from reperfuse.networks.resnet import Resnet50Encoder

CARD = {"repository": "TencentMedicalNet/MedicalNet-Resnet50", "revision": "a" * 40, "filename": "r.pth"}
OPTIONS = {"sha256": "", "allow_random": False, "seed": 1}


@pytest.fixture(scope="module")
def published(encoder: Resnet50Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the published format: wrapped, prefixed, with the segmentation head, without counters."""
    path = tmp_path_factory.mktemp("published") / "resnet_50_23dataset.pth"
    state = {
        f"module.{key}": tensor
        for key, tensor in encoder.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    torch.save({"state_dict": {**state, "module.conv_seg.0.weight": torch.ones(2)}}, path)
    return path


@pytest.fixture(scope="module")
def converted(published: Path) -> Path:
    target = published.with_name("resnet50.safetensors")
    convert(published, target, card=CARD)
    return target


def refused(code: str, *args, **kwargs) -> str:
    """Call ``load_encoder``; return the sentence that it refuses with."""
    with pytest.raises(Refusal) as caught:
        load_encoder("medicalnet_dilated", *args, **{**OPTIONS, **kwargs})
    assert caught.value.fault.code == code
    return str(caught.value)


def test_a_published_checkpoint_becomes_safetensors_with_a_card(published: Path, converted: Path) -> None:
    card = read_json(card_path(converted))
    assert card == {
        **CARD,
        "source_sha256": hashlib.sha256(published.read_bytes()).hexdigest(),
        "sha256": hashlib.sha256(converted.read_bytes()).hexdigest(),
        "n_keys": 265,
        "dropped": ["conv_seg.0.weight"],
    }
    assert not list(converted.parent.glob(".partial*"))


def test_what_is_loaded_is_what_was_published(converted: Path, encoder: Resnet50Encoder) -> None:
    digest = read_json(card_path(converted))["sha256"]
    found, stamp = load_encoder("medicalnet_dilated", converted, **{**OPTIONS, "sha256": digest.upper()})
    assert (stamp.kind, stamp.sha256) == ("MedicalNet", digest)
    assert stamp.text == "MedicalNet: TencentMedicalNet/MedicalNet-Resnet50 at aaaaaaaaaaaa, r.pth"
    expected = encoder.state_dict()
    for key, tensor in found.state_dict().items():
        torch.testing.assert_close(tensor, expected[key], rtol=0, atol=0)
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_the_other_variant_says_that_it_is_not_what_was_trained(converted: Path) -> None:
    stamp = load_encoder("monai_stride32", converted, **OPTIONS)[1]
    assert stamp.kind == "MedicalNet"
    assert "instead of the dilations" in stamp.text


def test_only_a_card_that_fits_makes_weights_medicalnets(converted: Path, tmp_path: Path) -> None:
    here = tmp_path / "w.safetensors"
    os.link(converted, here)
    good = read_json(card_path(converted))
    for card in (
        None,
        {**good, "repository": "Somebody/MedicalNet-Resnet50"},
        {**good, "revision": "main"},
        {**good, "sha256": "0" * 64},
        ["not a card"],
    ):
        if card is not None:
            write_json(card_path(here), card)
        stamp = load_encoder("medicalnet_dilated", here, **OPTIONS)[1]
        assert stamp.kind == "other"
        assert stamp.text.startswith("NOT MedicalNet: ")


def test_random_weights_are_named_so_and_are_the_same_each_time(loaded) -> None:
    encoder, stamp = loaded
    assert (stamp.kind, stamp.text) == ("random", "NOT MedicalNet: random weights, seed 1")
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again, same = load_encoder("monai_stride32", None, sha256="", allow_random=True, seed=1)
    other, different = load_encoder("monai_stride32", None, sha256="", allow_random=True, seed=2)
    assert torch.equal(before, torch.get_rng_state())
    assert same == stamp
    assert different.sha256 != stamp.sha256
    assert torch.equal(again.layer3[2].conv2.weight, encoder.layer3[2].conv2.weight)
    assert not torch.equal(other.conv1.weight, encoder.conv1.weight)


def test_random_weights_are_he_normal_by_fan_out(encoder: Resnet50Encoder) -> None:
    for conv in (encoder.conv1, encoder.layer2[0].conv2, encoder.layer4[0].downsample[0]):
        fan_out = conv.out_channels * np.prod(conv.kernel_size)
        assert float(conv.weight.std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    assert torch.equal(encoder.bn1.weight, torch.ones(64))
    assert torch.equal(encoder.bn1.running_var, torch.ones(64))
    assert torch.equal(encoder.bn1.running_mean, torch.zeros(64))


def test_without_weights_nothing_is_made_up(tmp_path: Path, converted: Path) -> None:
    assert "reperfuse.learning.fetch" in refused("E200", None)
    sentence = refused("E200", tmp_path / "absent.safetensors", allow_random=True)
    assert "there is no such file" in sentence
    assert str(tmp_path) not in sentence
    assert "as configured" in refused("E200", converted, sha256="f" * 64)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl", ".npy", ".skops", ".joblib", ""])
def test_only_safetensors_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"anything")
    assert "python -m reperfuse.learning.weights" in refused("E200", path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"PK\x03\x04" + bytes(60),
        b"\x80\x04" + bytes(60),
        b"\x93NUMPY" + bytes(60),
        b"\xff" * 8 + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4000]}}   ',
    ],
)
def test_a_damaged_file_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert "E200 weights.safetensors" in refused("E200", path)


def test_other_tensors_are_listed(tmp_path: Path, encoder: Resnet50Encoder) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"conv1.weight": torch.ones(64, 3, 7, 7, 7), "fc.weight": torch.ones(3)}, path)
    sentence = refused("E201", path)
    assert "264 missing (bn1.weight, bn1.bias, bn1.running_mean, …)" in sentence
    assert "1 unexpected (fc.weight)" in sentence
    assert "conv1.weight is float32 64×3×7×7×7 instead of float32 64×1×7×7×7" in sentence
    assert "318 tensors" in sentence
    state = {"conv1.weight": torch.full((64, 1, 7, 7, 7), torch.nan), "bn1.weight": torch.ones(64).half()}
    save_file(state, path)
    sentence = refused("E201", path)
    assert "1 not finite (conv1.weight)" in sentence
    assert "bn1.weight is float16 64 instead of float32 64" in sentence


class _Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": {"module.conv1.weight": x}}])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, wrap, legacy: bool
) -> None:
    mark, path = tmp_path / "ran", tmp_path / "attack.pth"
    if legacy:
        path.write_bytes(pickle.dumps(wrap(_Attack(mark))))
    else:
        torch.save(wrap(_Attack(mark)), path)
    with pytest.raises(Refusal) as caught:
        convert(path, tmp_path / "w.safetensors", card={})
    assert caught.value.fault.code == "E200"
    assert "objects other than tensors" in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["attack.pth"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"not a checkpoint", "E200"),
        (b"PK\x03\x04 broken archive", "E200"),
        ([torch.ones(2)], "E200"),
        ({"state_dict": {"module.conv1.weight": 3}}, "E200"),
        ({"module.fc.weight": torch.ones(2)}, "E201"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, content: object, code: str) -> None:
    path = tmp_path / "c.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(Refusal) as caught:
        convert(path, tmp_path / "w.safetensors", card={})
    assert caught.value.fault.code == code
    assert not (tmp_path / "w.safetensors").exists()


def test_the_target_must_be_safetensors(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="a target named"):
        convert(tmp_path / "c.pth", tmp_path / "w.pth", card={})


def test_the_command_converts_and_claims_no_origin(published: Path, tmp_path: Path, capsys) -> None:
    target = tmp_path / "w.safetensors"
    assert main([str(published), str(target)]) == 0
    assert "265 tensors" in capsys.readouterr().out
    assert "repository" not in json.loads(card_path(target).read_text())
    assert len(load_file(target)) == 265
    assert main([str(tmp_path / "absent.pth"), str(target)]) == 1
    assert "there is no such file" in capsys.readouterr().err
