"""The one training loop: seeded, deterministic, on one device or several, resumed where it was interrupted."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric

from reperfuse.core.errors import Fault
from reperfuse.learning.averaging import Average
from reperfuse.learning.batches import drawn
from reperfuse.learning.checkpoint import CHECKPOINT, Progress, Stateful, made_of, resume, save, tidy
from reperfuse.learning.generators import reproducible, seed_all
from reperfuse.learning.processes import TOLD_TO_END, fabric_of, launch, told
from reperfuse.learning.stepping import Stepper
from reperfuse.learning.tasks import Task, TaskOfTurns, turns_of

__all__ = ["CHECKPOINT", "Precision", "Task", "TaskOfTurns", "train"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
SAY_EVERY_S = 20.0


@dataclass(frozen=True)
class Settings:
    """What `train` was given; see there."""

    epochs: int
    seed: int
    precision: Precision
    clip_norm: float
    every: int
    ema_decay: float
    folder: Path

    def shaping(self) -> dict[str, Any]:
        """Return what a checkpoint must agree with: all but how often it is written, and where."""
        return {name: value for name, value in vars(self).items() if name not in ("every", "folder")}


def train(
    task: Task | TaskOfTurns,
    *,
    epochs: int,
    seed: int,
    device: torch.device | str,
    devices: int,
    precision: Precision,
    clip_norm: float,
    every: int,
    ema_decay: float,
    folder: Path,
) -> list[float]:
    """Train a network in place, from the last checkpoint if there is one, and leave it in evaluation mode.

    On the CPU a training that was interrupted and resumed ends at the same bits as one that was not; on a GPU as far
    as its kernels are deterministic. Where memory is short, or there are several devices, a batch is divided and the
    gradients of its parts are added, weighted by their size: the same step up to rounding, but for layers that draw
    random numbers or use statistics of the batch, which see a part.

    Parameters
    ----------
    task : Task or TaskOfTurns
    epochs : int
        How often all batches are seen.
    seed : int
        Of every generator, with the number of the batch or step.
    device : torch.device or str
        "cpu" or "cuda".
    devices : int
        How many of them, each in a process of its own where there is more than one; the task is then sent there.
    precision : {"32-true", "bf16-mixed", "16-mixed"}
        Of the network's arithmetic; weights stay float32. With "16-mixed" the loss is scaled, and a step whose gradient
        overflows is left out (Micikevicius et al., ICLR 2018).
    clip_norm : float
        Longest gradient over an optimiser's parameters; a longer one is shortened to it.
    every : int
        Batches between checkpoints; there is one at the end of each epoch anyway.
    ema_decay : float
        Of the average of weights that the module holds at the end; 0 leaves it the last ones.
        See `reperfuse.learning.averaging.Average`.
    folder : Path
        Of the checkpoint and ``history.jsonl``. Named after the data and whatever else shapes the training.

    Returns
    -------
    list of float
        Mean loss of each epoch, over samples.

    Raises
    ------
    Refusal
        E170: the loss or its gradient is not finite. The last checkpoint from before stays.
        E171: one sample does not fit into memory.
    SystemExit
        143, after a checkpoint, where the process was told to end (SIGTERM, SIGUSR1).
    """
    device = torch.device(device)
    settings = Settings(epochs, seed, precision, clip_norm, every, ema_decay, Path(folder))
    if devices > 1:
        launch(partial(_train, settings=settings), fabric_of(device.type, devices, precision), task)
    # With several devices there is nothing left to do but to take up what they ended with.
    return _train(fabric_of(device.type, 1, precision), task, settings=settings)


def _train(fabric: Fabric, task: Task | TaskOfTurns, *, settings: Settings) -> list[float]:
    """Train in this process, which is one of several where there are several devices."""
    module, folder = task.module, settings.folder
    first = fabric.is_global_zero  # who writes and speaks
    log = Log(first)
    ended: list[int] = []
    with reproducible(), told(ended.append):
        seed_all(settings.seed)
        turns = turns_of(task)
        optimisers = [turn.optimiser for turn in turns]
        schedules = [turn.schedule for turn in turns if turn.schedule is not None]
        of = made_of(module, optimisers, **settings.shaping())
        called, *stepped = fabric.setup(module, *optimisers)
        called.train()
        stepper = Stepper(fabric, called, stepped, turns, settings.seed, settings.clip_norm)
        average = Average(module, settings.ema_decay)
        parts: dict[str, Stateful] = {"module": module, "average": average}
        parts["scaler"] = fabric.strategy.precision
        parts |= {f"optimiser {i}": one for i, one in enumerate(optimisers)}
        parts |= {f"schedule {i}": one for i, one in enumerate(schedules)}
        if first:
            tidy(folder)
        progress, fault = resume(folder, of, parts)
        log.began(progress, fault)
        while progress.epoch < settings.epochs:
            for batch in drawn(task.batches, settings.seed, progress.epoch, progress.batch):
                stepper.step(batch, progress)
                average.update(progress.step)
                log.step(progress)
                end = stepper.anywhere(bool(ended))
                if first and (end or progress.step % settings.every == 0):
                    save(folder, of, progress, parts)
                if end:
                    raise SystemExit(TOLD_TO_END)
            if not progress.batch:
                raise ValueError("there is no batch to train on")
            with warnings.catch_warnings():
                # Resumed at the epoch's end: no optimiser has stepped in this process.
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                for schedule in schedules:
                    schedule.step()
            progress.end_epoch()
            if first:
                save(folder, of, progress, parts)
            log.epoch(progress)
        if stepper.anywhere(bool(ended)):
            raise SystemExit(TOLD_TO_END)
        average.apply()
    module.eval()
    return [one[turns[0].name] for one in progress.history]


class Log:
    """Says in the log how far a training is: a JSON line for each epoch, and one in between where that takes long.

    Parameters
    ----------
    speaks : bool
        One of several processes does.
    """

    def __init__(self, speaks: bool) -> None:
        self.speaks = speaks
        self.begun = self.said = time.monotonic()

    def began(self, progress: Progress, fault: Fault | None) -> None:
        """Say what is gone on from."""
        if fault:
            self._say(f"{fault.sentence}")
        if progress.step:
            self._say(f"resumed after {progress.epoch} epochs, {progress.step} steps in all")

    def step(self, progress: Progress) -> None:
        """Say where it is, if nothing was said for a while."""
        now = time.monotonic()
        if now - self.said > SAY_EVERY_S:
            means = (f"{name} {total / progress.seen:.4f}" for name, total in progress.losses.items())
            self._say(f"epoch {progress.epoch + 1}, batch {progress.batch}: {', '.join(means)}")

    def epoch(self, progress: Progress) -> None:
        """Say what an epoch came to."""
        took = round(time.monotonic() - self.begun, 1)
        self._say(json.dumps({"epoch": progress.epoch, "losses": progress.history[-1], "seconds": took}))
        self.begun = time.monotonic()

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        if self.speaks:
            print(text, flush=True)
