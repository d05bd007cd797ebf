"""The training loop: it learns, resumes to the bit, and stops where numbers end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reperfuse.core.errors import Refusal
from reperfuse.learning.training import CHECKPOINT, train

X = torch.from_numpy(np.random.default_rng(0).standard_normal((20, 6), dtype=np.float32))
Y = (X[:, :1] - 2 * X[:, 1:2] > 0).float()
SETTINGS = {"epochs": 4, "seed": 3, "device": "cpu", "devices": 1, "precision": "32-true"}
SETTINGS |= {"clip_norm": 5.0, "every": 2, "ema_decay": 0.0}


class Interrupted(Exception):
    """What a cluster does to a job."""


@dataclass
class Small:
    """Dropout, momentum, a schedule, batch statistics, and augmentation from all three generators."""

    module: nn.Module
    stop_at: int = -1
    spoil_at: int = -1
    calls: int = 0

    def optimiser(self):
        found = torch.optim.Adam(self.module.parameters(), lr=0.05)
        return found, torch.optim.lr_scheduler.StepLR(found, 1, gamma=0.7)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(X)).numpy()
        for rows in np.array_split(order, 5):
            noise = 0.01 * torch.randn(1) + 0.01 * np.random.normal() + 0.01 * random.random()  # noqa: NPY002
            yield X[rows] + noise.float(), Y[rows]

    def loss(self, module, batch) -> Tensor:
        self.calls += 1
        if self.calls == self.stop_at:
            raise Interrupted
        x, y = batch
        found = nn.functional.binary_cross_entropy_with_logits(module(x), y)
        return found * float("nan") if self.calls == self.spoil_at else found


def small(**changed: int) -> Small:
    torch.manual_seed(0)
    return Small(
        nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)),
        **changed,
    )


def bits(module: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], list[float]]:
    task = small()
    history = train(task, **SETTINGS, folder=tmp_path_factory.mktemp("whole"))
    return bits(task.module), history


def test_the_loss_falls_and_the_network_is_left_in_evaluation_mode(tmp_path: Path) -> None:
    task = small()
    history = train(task, **{**SETTINGS, "epochs": 12}, folder=tmp_path)
    assert len(history) == 12 and np.mean(history[-6:]) < 0.7 * history[0]
    assert not task.module.training
    assert task.calls == 60


# Before any checkpoint, in the middle of an epoch and off the checkpoints, at the edge of one, at the end.
@pytest.mark.parametrize("stop_at", [2, 8, 10, 11, 20])
def test_a_training_that_was_interrupted_ends_at_the_same_bits(
    whole: tuple[dict[str, bytes], list[float]],
    tmp_path: Path,
    stop_at: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Interrupted):
        train(small(stop_at=stop_at), **SETTINGS, folder=tmp_path)
    torch.manual_seed(99)  # whatever ran between
    again = small()
    history = train(again, **SETTINGS, folder=tmp_path)
    assert bits(again.module) == whole[0]
    assert history == whole[1]
    done = stop_at - 1  # a checkpoint every 2 steps and after each epoch of 5
    assert again.calls == 20 - max(done // 2 * 2, done // 5 * 5)
    assert ("resumed" in capsys.readouterr().out) == (stop_at > 2)


def test_mixed_precision_learns_too_and_keeps_its_weights_in_float32(tmp_path: Path) -> None:
    task = small()
    history = train(task, **{**SETTINGS, "precision": "bf16-mixed"}, folder=tmp_path)
    assert history[-1] < history[0]
    assert {one.dtype for one in task.module.parameters()} == {torch.float32}


def test_what_a_cluster_says_of_its_tasks_does_not_matter(
    whole: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"NTASKS": "2", "JOB_NAME": "x", "JOB_ID": "1", "PROCID": "1", "LOCALID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    task = small()
    train(task, **SETTINGS, folder=tmp_path)
    assert bits(task.module) == whole[0]


def test_a_finished_training_is_not_repeated(whole: tuple, tmp_path: Path) -> None:
    train(small(), **SETTINGS, folder=tmp_path)
    again = small()
    assert train(again, **SETTINGS, folder=tmp_path) == whole[1]
    assert again.calls == 0 and bits(again.module) == whole[0]


def test_another_seed_gives_another_network(whole: tuple, tmp_path: Path) -> None:
    task = small()
    train(task, **{**SETTINGS, "seed": 4}, folder=tmp_path)
    assert bits(task.module) != whole[0]


def test_a_loss_that_is_not_finite_stops_with_a_sentence_and_keeps_the_last_checkpoint(
    whole: tuple, tmp_path: Path
) -> None:
    with pytest.raises(
        Refusal, match=r"E170.*the loss became nan at step 9, in epoch 2.*learning rate"
    ) as refused:
        train(small(spoil_at=9), **SETTINGS, folder=tmp_path)
    assert refused.value.fault.values["step"] == 9
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert kept["progress"]["step"] == 8
    assert all(tensor.isfinite().all() for tensor in kept["states"]["module"].values())
    again = small()
    train(again, **SETTINGS, folder=tmp_path)
    assert bits(again.module) == whole[0]


def test_a_gradient_that_is_not_finite_is_never_taken(tmp_path: Path) -> None:
    task = small()
    task.loss = lambda module, batch: torch.sqrt((module(batch[0]) * 0).sum())  # type: ignore[method-assign]
    before = {name: one.clone() for name, one in task.module.named_parameters()}
    with pytest.raises(Refusal, match="the gradient became"):
        train(task, **SETTINGS, folder=tmp_path)
    assert all(torch.equal(one, before[name]) for name, one in task.module.named_parameters())
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_damaged_checkpoint_is_no_end(
    whole: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"PK\x03\x04 half a file")
    task = small()
    train(task, **SETTINGS, folder=tmp_path)
    assert bits(task.module) == whole[0]
    assert "training begins anew" in capsys.readouterr().out


def test_what_the_process_had_is_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    train(small_with_seed_kept(), **{**SETTINGS, "epochs": 1}, folder=tmp_path)
    torch.testing.assert_close(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def small_with_seed_kept() -> Small:
    state = torch.get_rng_state()
    task = small()
    torch.set_rng_state(state)
    return task


def test_without_a_batch_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    task = small()
    task.batches = lambda epoch: iter(())  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no batch"):
        train(task, **SETTINGS, folder=tmp_path)
