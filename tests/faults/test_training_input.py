"""What happens to a training: another's checkpoint, half a one, numbers that end, a machine that goes, no memory."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from reperfuse.core.errors import Refusal
from reperfuse.core.files import PARTIAL
from reperfuse.learning.checkpoint import CHECKPOINT, Progress, resume
from reperfuse.learning.device import choose_device
from reperfuse.learning.training import train
from tests.conftest import ROOT
from tests.faults.study_cases import Trap
from tests.learning.tasks import SETTINGS, Small, bits, left, plain, small


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], list[float], dict[str, Any]]:
    """What a training gives that nothing happens to."""
    folder, task = tmp_path_factory.mktemp("whole"), small()
    history = train(task, **SETTINGS, folder=folder)
    return bits(task.module), history, left(folder)


def ended(task: Small, history: list[float], folder: Path) -> tuple[Any, ...]:
    return bits(task.module), history, left(folder)


# 37: a checkpoint of another training


@pytest.mark.parametrize(
    "changed",
    [{"seed": 4}, {"epochs": 5}, {"clip_norm": 1.0}, {"ema_decay": 0.5}, {"precision": "bf16-mixed"}],
    ids=lambda changed: next(iter(changed)),
)
def test_37_a_checkpoint_of_other_settings_is_not_taken(
    changed: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small(), **SETTINGS, folder=tmp_path / "used")
    fresh, again = small(), small()
    history = train(fresh, **{**SETTINGS, **changed}, folder=tmp_path / "new")
    capsys.readouterr()
    found = train(again, **{**SETTINGS, **changed}, folder=tmp_path / "used")
    assert f"W170 checkpoint.pt: the checkpoint is of another training ({next(iter(changed))} differ)" in (
        capsys.readouterr().out
    )
    assert ended(again, found, tmp_path / "used") == ended(fresh, history, tmp_path / "new")


def test_37_nor_one_of_other_weights_or_another_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small(), **{**SETTINGS, "epochs": 1}, folder=tmp_path)
    task = small()
    with torch.no_grad():
        task.module[0].bias[0] += 1e-6
    train(task, **{**SETTINGS, "epochs": 1}, folder=tmp_path)
    assert "(initial weights differ)" in capsys.readouterr().out and task.calls == 5
    task = small()
    task.optimiser = lambda: (torch.optim.Adam(task.module.parameters(), lr=0.04), None)  # type: ignore[method-assign]
    train(task, **{**SETTINGS, "epochs": 1}, folder=tmp_path)
    assert "(initial weights, optimisers differ)" in capsys.readouterr().out and task.calls == 5


def test_37_how_often_it_is_written_does_not_matter(whole: tuple, tmp_path: Path) -> None:
    train(small(), **{**SETTINGS, "every": 3}, folder=tmp_path)
    again = small()
    assert ended(again, train(again, **SETTINGS, folder=tmp_path), tmp_path) == whole
    assert again.calls == 0


# 38: half a checkpoint


@pytest.mark.parametrize("damage", ["empty", "cut", "spoilt", "not ours", "code"])
def test_38_a_checkpoint_that_cannot_be_read_is_no_end(
    damage: str, whole: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small(), **{**SETTINGS, "epochs": 1}, folder=tmp_path)
    path, trap = tmp_path / CHECKPOINT, tmp_path.with_name("sprung")
    content = path.read_bytes()
    if damage == "not ours":
        torch.save({"state_dict": {}}, path)
    else:
        path.write_bytes(
            {
                "empty": b"",
                "cut": content[: len(content) // 2],
                "spoilt": content[:100] + b"\xff" * 500 + content[600:],
                "code": pickle.dumps({"of": {}, "progress": {}, "states": Trap(trap)}),
            }[damage]
        )
    again = small()
    capsys.readouterr()
    assert ended(again, train(again, **SETTINGS, folder=tmp_path), tmp_path) == whole
    assert "W140 checkpoint.pt: the checkpoint cannot be read" in capsys.readouterr().out
    assert not trap.exists(), "nothing that a checkpoint holds is run"


def test_38_wherever_it_was_cut(tmp_path: Path) -> None:
    train(small(), **{**SETTINGS, "epochs": 1}, folder=tmp_path)
    path = tmp_path / CHECKPOINT
    content = path.read_bytes()
    for size in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:size])
        progress, fault = resume(tmp_path, {}, {})
        assert progress == Progress() and fault is not None and fault.code == "W140", size


def test_38_what_a_killed_process_had_half_written_is_removed(whole: tuple, tmp_path: Path) -> None:
    (tmp_path / f"{PARTIAL}x.pt").write_bytes(b"half")
    task = small()
    assert ended(task, train(task, **SETTINGS, folder=tmp_path), tmp_path) == whole


# 52: numbers that end


def test_52_a_loss_that_is_not_finite_stops_with_a_sentence_and_keeps_the_last_checkpoint(
    whole: tuple, tmp_path: Path
) -> None:
    said = r"E170.*the loss became nan at step 9, in epoch 2 \(batch 4\).*learning rate"
    with pytest.raises(Refusal, match=said):
        train(small(spoil_at=9), **SETTINGS, folder=tmp_path)
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert kept["progress"]["step"] == 8
    assert all(tensor.isfinite().all() for tensor in kept["states"]["module"].values())
    again = small()
    assert ended(again, train(again, **SETTINGS, folder=tmp_path), tmp_path) == whole


# 53: told to end


@pytest.mark.slow
def test_53_a_job_that_is_told_to_end_is_resumed_by_snakemake(whole: tuple, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        # Snakemake says how many threads a job has, and sums of as many parts have other last digits.
        f"import torch\ntorch.set_num_threads({torch.get_num_threads()})\nfrom pathlib import Path\n"
        "from tests.learning.tasks import SETTINGS, small\nfrom reperfuse.learning.training import train\n"
        "first = not Path('state').exists()\n"
        "task = small(tell_at=8 if first else -1)\n"
        "train(task, **SETTINGS, folder=Path('state'))\n"
        "Path(snakemake.output[0]).write_text(f'{task.calls}')\n"
    )
    (tmp_path / "Snakefile").write_text("rule all:\n    output: 'done'\n    script: 'train.py'\n")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT}"}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--retries", "1"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "exit code 143" in run.stderr or "returned non-zero exit status 143" in run.stderr
    assert (tmp_path / "done").read_text() == "12", "20 steps, of which 8 were done"
    assert left(tmp_path / "state") == whole[2]


# 54: no GPU, or not enough memory


def test_54_without_a_gpu_the_cpu_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")


def test_54_where_memory_is_short_batches_are_halved_until_one_sample_does_not_fit(tmp_path: Path) -> None:
    enough, short = plain(), plain(room=3)
    history = train(enough, **SETTINGS, folder=tmp_path / "0")
    assert train(short, **SETTINGS, folder=tmp_path / "1") == pytest.approx(history, rel=1e-5)
    with pytest.raises(Refusal, match=r"E171.*memory does not suffice for one sample") as refused:
        train(plain(room=0), **SETTINGS, folder=tmp_path / "2")
    assert refused.value.fault.values["peak_gb"] > 0
