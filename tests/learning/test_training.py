"""The training loop: it learns, repeats itself to the bit, averages, and stops where numbers end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reperfuse.core.errors import Refusal
from reperfuse.learning import training
from reperfuse.learning.averaging import Average
from reperfuse.learning.checkpoint import CHECKPOINT, HISTORY
from reperfuse.learning.training import train
from tests.learning.tasks import SETTINGS, X, Y, adversarial, bits, plain, small


def test_the_loss_falls_and_the_network_is_left_in_evaluation_mode(tmp_path: Path) -> None:
    task = small()
    history = train(task, **{**SETTINGS, "epochs": 12}, folder=tmp_path)
    assert len(history) == 12 and np.mean(history[-6:]) < 0.7 * history[0]
    assert not task.module.training
    assert task.calls == 60


@pytest.mark.parametrize("make", [small, adversarial])
def test_two_trainings_are_the_same_to_the_bit(make, tmp_path: Path) -> None:
    tasks = [make(), make()]
    first, second = (train(task, **SETTINGS, folder=tmp_path / str(i)) for i, task in enumerate(tasks))
    assert first == second and bits(tasks[0].module) == bits(tasks[1].module)
    files = [{path.name: path.read_bytes() for path in (tmp_path / i).iterdir()} for i in "01"]
    assert files[0] == files[1] and set(files[0]) == {CHECKPOINT, HISTORY}


def test_another_seed_gives_another_network(tmp_path: Path) -> None:
    tasks = [small(), small()]
    for seed, task in enumerate(tasks):
        train(task, **{**SETTINGS, "seed": seed}, folder=tmp_path / str(seed))
    assert bits(tasks[0].module) != bits(tasks[1].module)


def test_it_takes_the_steps_of_a_loop_written_by_hand(tmp_path: Path) -> None:
    task, by_hand = plain(), plain()
    history = train(task, **{**SETTINGS, "clip_norm": 0.1, "epochs": 2}, folder=tmp_path)
    optimiser, schedule = by_hand.optimiser()
    from reperfuse.learning.batches import drawn

    for epoch in range(2):
        losses = []
        for batch in drawn(by_hand.batches, SETTINGS["seed"], epoch, 0):
            optimiser.zero_grad()
            loss = by_hand.loss(by_hand.module, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(by_hand.module.parameters(), 0.1)
            optimiser.step()
            losses += [float(loss.detach())] * len(batch["x"])
        schedule.step()
        assert history[epoch] == pytest.approx(np.mean(losses), rel=1e-6)
    assert bits(task.module) == bits(by_hand.module)


def test_each_turn_changes_its_own_network_and_has_its_own_losses(tmp_path: Path) -> None:
    task = adversarial()
    history = train(task, **SETTINGS, folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert all(line["losses"].keys() == {"coder", "judge"} for line in lines)
    assert history == [line["losses"]["coder"] for line in lines]
    assert history[-1] < history[0] and task.calls == 40

    frozen = adversarial()
    frozen.turns = lambda: adversarial.__globals__["Adversarial"].turns(frozen)[:1]  # type: ignore[method-assign]
    before = frozen.module.judge.weight.clone()
    train(frozen, **SETTINGS, folder=tmp_path / "one")
    assert torch.equal(frozen.module.judge.weight, before), "it has gradients, but not its turn"


def test_what_is_left_is_the_average_of_the_weights(tmp_path: Path) -> None:
    last, averaged = plain(), plain()
    train(last, **SETTINGS, folder=tmp_path / "0")
    train(averaged, **{**SETTINGS, "ema_decay": 0.5}, folder=tmp_path / "1")
    seen: list[Tensor] = []
    by_hand = plain()
    inner = by_hand.loss

    def watched(module, batch):
        seen.append(by_hand.module[0].weight.detach().clone())
        return inner(module, batch)

    by_hand.loss = watched  # type: ignore[method-assign]
    train(by_hand, **SETTINGS, folder=tmp_path / "2")
    expected = seen[0]
    for step, weight in enumerate([*seen[1:], last.module[0].weight.detach()], 1):
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * weight
    torch.testing.assert_close(averaged.module[0].weight.detach(), expected)
    assert not torch.equal(averaged.module[0].weight, last.module[0].weight)


def test_what_is_frozen_is_not_averaged() -> None:
    module = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    assert Average(module, 0.9).weights.keys() == {"1.weight", "1.bias"}
    assert not Average(module, 0.0).weights


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_learns_too_and_keeps_its_weights_in_float32(precision: str, tmp_path: Path) -> None:
    task = small()
    history = train(task, **{**SETTINGS, "epochs": 8, "precision": precision}, folder=tmp_path)
    assert history[-1] < history[0]
    assert {one.dtype for one in task.module.parameters()} == {torch.float32}


def test_a_scaled_gradient_that_overflows_leaves_its_step_out(tmp_path: Path) -> None:
    """The scale begins at 65536: half precision holds no gradient beyond 1 then."""
    task = plain()
    inner = task.loss
    task.loss = lambda module, batch: 1000 * inner(module, batch)  # type: ignore[method-assign]
    history = train(task, **{**SETTINGS, "epochs": 12, "precision": "16-mixed"}, folder=tmp_path)
    scale = torch.load(tmp_path / CHECKPOINT, weights_only=True)["states"]["scaler"]["scale"]
    assert 1 <= scale < 65536 and history[-1] < history[0]


def test_what_a_cluster_says_of_its_tasks_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = small(), small()
    train(here, **SETTINGS, folder=tmp_path / "0")
    for name, value in {"NTASKS": "2", "JOB_NAME": "x", "JOB_ID": "1", "PROCID": "1", "LOCALID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    train(there, **SETTINGS, folder=tmp_path / "1")
    assert bits(here.module) == bits(there.module)


def test_a_gradient_that_is_not_finite_is_never_taken(tmp_path: Path) -> None:
    task = small()
    task.loss = lambda module, batch: torch.sqrt((module(batch[0]) * 0).sum())  # type: ignore[method-assign]
    before = {name: one.clone() for name, one in task.module.named_parameters()}
    with pytest.raises(Refusal, match="the gradient became"):
        train(task, **SETTINGS, folder=tmp_path)
    assert all(torch.equal(one, before[name]) for name, one in task.module.named_parameters())
    assert not (tmp_path / CHECKPOINT).exists()


def test_what_the_process_had_is_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    task = small()
    torch.manual_seed(11)
    train(task, **{**SETTINGS, "epochs": 1}, folder=tmp_path)
    torch.testing.assert_close(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


def test_without_a_batch_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    task = small()
    task.batches = lambda epoch: iter(())  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no batch"):
        train(task, **SETTINGS, folder=tmp_path)


def test_a_batch_of_different_lengths_is_a_mistake(tmp_path: Path) -> None:
    task = small()
    task.batches = lambda epoch: [(X, Y[:3])]  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"\[3, 20\] samples"):
        train(task, **SETTINGS, folder=tmp_path)


def test_the_log_has_a_json_line_for_each_epoch_and_says_in_between_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(small(), **{**SETTINGS, "epochs": 1}, folder=tmp_path / "0")
    [line] = capsys.readouterr().out.splitlines()
    said = json.loads(line)
    assert said["epoch"] == 1 and said["losses"].keys() == {"loss"} and said["seconds"] >= 0
    assert "seconds" not in (tmp_path / "0" / HISTORY).read_text()
    monkeypatch.setattr(training, "SAY_EVERY_S", -1.0)
    train(small(), **{**SETTINGS, "epochs": 1}, folder=tmp_path / "1")
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:5]] == [
        f"epoch 1, batch {i}" for i in range(1, 6)
    ]
