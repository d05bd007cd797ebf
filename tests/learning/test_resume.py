"""A training that was interrupted ends at the bits of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from reperfuse.learning.checkpoint import CHECKPOINT, HISTORY
from reperfuse.learning.training import train
from tests.conftest import ROOT
from tests.learning.tasks import SETTINGS, Interrupted, adversarial, bits, left, small

# 5 batches in each of 4 epochs, a checkpoint every 2 and after each epoch; two turns are two calls of a loss.
CASES = {
    "one optimiser": (small, {}, 1),
    "averaged": (small, {"ema_decay": 0.9}, 1),
    "two optimisers, averaged": (adversarial, {"ema_decay": 0.9}, 2),
    "scaled": (small, {"precision": "16-mixed"}, 1),
}


@pytest.fixture(scope="module", params=CASES, ids=lambda name: name)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """How to make a task, settings, calls in a step, and what a training that nothing disturbs gives."""
    make, changed, calls = CASES[request.param]
    folder = tmp_path_factory.mktemp("whole")
    task, settings = make(), {**SETTINGS, **changed}
    history = train(task, **settings, folder=folder)
    return make, settings, calls, (bits(task.module), history, left(folder))


# Before any checkpoint, in the middle of an epoch and off the checkpoints, at the edge of one, at the end.
@pytest.mark.parametrize("stop_at", [2, 8, 10, 11, 20])
def test_killed(case, tmp_path: Path, stop_at: int, capsys: pytest.CaptureFixture[str]) -> None:
    make, settings, calls, whole = case
    with pytest.raises(Interrupted):
        train(make(stop_at=stop_at * calls), **settings, folder=tmp_path)
    torch.manual_seed(99)  # whatever ran between
    again = make()
    history = train(again, **settings, folder=tmp_path)
    assert (bits(again.module), history, left(tmp_path)) == whole
    done = stop_at - 1
    assert again.calls == (20 - max(done // 2 * 2, done // 5 * 5)) * calls
    assert ("resumed" in capsys.readouterr().out) == (stop_at > 2)


@pytest.mark.parametrize("tell_at", [1, 3, 5, 13, 20])
def test_told_to_end(case, tmp_path: Path, tell_at: int) -> None:
    make, settings, calls, whole = case
    with pytest.raises(SystemExit) as ended:
        train(make(tell_at=tell_at * calls), **settings, folder=tmp_path)
    assert ended.value.code == 143
    again = make()
    history = train(again, **settings, folder=tmp_path)
    assert (bits(again.module), history, left(tmp_path)) == whole
    assert again.calls == (20 - tell_at) * calls, "no step was lost"


def test_a_finished_training_is_not_repeated(case, tmp_path: Path) -> None:
    make, settings, _, whole = case
    train(make(), **settings, folder=tmp_path)
    again = make()
    history = train(again, **settings, folder=tmp_path)
    assert (bits(again.module), history, left(tmp_path)) == whole
    assert again.calls == 0


def test_told_between_the_last_batch_and_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = small()
    inner = task.batches

    def batches(epoch: int):
        yield from inner(epoch)
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGUSR1)

    task.batches = batches  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        train(task, **SETTINGS, folder=tmp_path)
    again = small()
    assert len(train(again, **SETTINGS, folder=tmp_path)) == 4 and again.calls == 0


def test_who_listened_to_signals_before_does_so_again(tmp_path: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        train(small(), **{**SETTINGS, "epochs": 1}, folder=tmp_path)
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_another_process_that_is_killed(number: int, tmp_path: Path) -> None:
    """From outside, at whatever instruction it may be."""
    whole = small()
    history = train(whole, **SETTINGS, folder=tmp_path / "whole")
    folder = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.learning.tasks", str(folder)], env=environment, cwd=tmp_path
    )
    until = time.monotonic() + 60
    while not (folder / HISTORY).exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.13)
    process.send_signal(number)
    assert process.wait(30) == (-signal.SIGKILL if number == signal.SIGKILL else 143)
    assert torch.load(folder / CHECKPOINT, weights_only=True)["progress"]["step"] < 20
    again = small()
    assert train(again, **SETTINGS, folder=folder) == history and 0 < again.calls < 20
    assert bits(again.module) == bits(whole.module)
    assert left(folder) == left(tmp_path / "whole")
