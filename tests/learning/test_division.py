"""A batch in parts, because memory is short or devices are several, gives the step of the whole."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from reperfuse.core.errors import ConfigError, Refusal
from reperfuse.learning.checkpoint import CHECKPOINT
from reperfuse.learning.device import count_devices
from reperfuse.learning.training import train
from tests.learning.tasks import SETTINGS, adversarial, bits, left, plain, small


def apart(one: torch.nn.Module, other: torch.nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a.detach() - b.detach()).abs().max()) for a, b in pairs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    task = plain()
    return task.module, train(task, **SETTINGS, folder=tmp_path_factory.mktemp("whole"))


# Batches are of 7, 1, 8 and 4 samples.
@pytest.mark.parametrize(("room", "at_once"), [(7, 4), (4, 4), (3, 2), (1, 1)])
def test_where_memory_is_short_a_batch_is_halved_and_the_step_is_the_same(
    whole, tmp_path: Path, room: int, at_once: int, capsys: pytest.CaptureFixture[str]
) -> None:
    task = plain(room=room)
    history = train(task, **SETTINGS, folder=tmp_path)
    assert history == pytest.approx(whole[1], rel=1e-5)
    assert apart(task.module, whole[0]) < 1e-5
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert kept["progress"]["at_once"] == at_once
    assert f"{at_once} samples at once" in capsys.readouterr().out


def test_two_optimisers_too(tmp_path: Path) -> None:
    tasks = [adversarial(), adversarial(room=3)]
    for task in tasks:
        task.module.coder[2].p = 0.0  # what is drawn for parts is drawn anew
        train(task, **SETTINGS, folder=tmp_path / str(task.room))
    assert 0 < apart(tasks[0].module, tasks[1].module) < 1e-5


def test_what_fits_is_remembered_and_a_resumed_training_is_the_same_to_the_bit(tmp_path: Path) -> None:
    undisturbed, first, again = small(room=3), small(room=3, tell_at=12), small(room=3)
    train(undisturbed, **SETTINGS, folder=tmp_path / "0")
    with pytest.raises(SystemExit):
        train(first, **SETTINGS, folder=tmp_path / "1")
    train(again, **SETTINGS, folder=tmp_path / "1")
    assert bits(again.module) == bits(undisturbed.module)
    # 5 batches of 4 samples in halves, of which one attempt failed at the start; none when it was resumed.
    assert undisturbed.calls == 4 * 5 * 2 + 1
    assert first.calls + again.calls == undisturbed.calls


def test_the_cpu_is_one_device_and_gpus_that_are_not_there_are_an_error() -> None:
    assert count_devices(torch.device("cpu"), 4) == 1
    with pytest.raises(ConfigError, match="devices is 64, but PyTorch sees"):
        count_devices(torch.device("cuda"), 64)


def test_two_devices_take_the_steps_of_one(whole, tmp_path: Path) -> None:
    """Two processes on the CPU, of which one has no part in a batch of one sample."""
    task = plain()
    history = train(task, **{**SETTINGS, "devices": 2}, folder=tmp_path)
    assert history == pytest.approx(whole[1], rel=1e-5)
    assert apart(task.module, whole[0]) < 1e-5 and task.calls == 0
    assert not task.module.training


@pytest.mark.slow
def test_two_devices_that_are_told_to_end_are_resumed_to_the_bit(tmp_path: Path) -> None:
    settings = {**SETTINGS, "devices": 2, "ema_decay": 0.9}
    whole, again = small(), small()
    history = train(whole, **settings, folder=tmp_path / "0")
    with pytest.raises(SystemExit) as ended:
        train(small(tell_at=13), **settings, folder=tmp_path / "1")
    assert ended.value.code == 143
    kept = torch.load(tmp_path / "1" / CHECKPOINT, weights_only=True)
    assert kept["progress"]["step"] == 13, "both have ended where one was told to"
    assert train(again, **settings, folder=tmp_path / "1") == history
    assert bits(again.module) == bits(whole.module)
    assert left(tmp_path / "1") == left(tmp_path / "0")


@pytest.mark.slow
def test_a_refusal_on_several_devices_is_the_same_refusal(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(Refusal, match=r"E170.*step 3, in epoch 1"):
        train(small(spoil_at=3), **{**SETTINGS, "devices": 2}, folder=tmp_path)
    assert time.monotonic() - begun < 120, "nobody waits for ever for the other"
