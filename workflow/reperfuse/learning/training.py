"""The one training loop: seeded, deterministic, and resumed where it was interrupted."""

from __future__ import annotations

import io
import os
import pickle
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from reperfuse.core.errors import Refusal
from reperfuse.core.files import write_bytes

Precision = Literal["32-true", "bf16-mixed"]
CHECKPOINT = "checkpoint.pt"


class Task(Protocol):
    """What is trained, on what, for what."""

    @property
    def module(self) -> nn.Module:
        """The network. Only its parameters that require a gradient are trained."""
        ...

    def optimiser(self) -> tuple[Optimizer, LRScheduler | None]:
        """Return the optimiser of the network, and what sets its rate after each epoch."""
        ...

    def batches(self, epoch: int) -> Iterable[Any]:
        """Yield tensors, or tuples or dicts of them.

        Order and augmentation may be drawn from ``epoch``, or from PyTorch's, NumPy's or Python's own generator, whose
        states are kept; from nothing else, or a training that is resumed would go another way.
        """
        ...

    def loss(self, module: Callable[..., Any], batch: Any) -> Tensor:
        """Return the scalar to be made small. ``module`` is the network as it must be called."""
        ...


@dataclass
class Progress:
    """Where a training stands.

    Parameters
    ----------
    epoch : int
        Being worked on, from 0; the number of epochs when it has ended.
    batch : int
        Batches of this epoch that are done.
    step : int
        Of the optimiser, in all.
    total : float
        Sum of this epoch's losses.
    history : list of float
        Mean loss of each epoch that has ended.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    total: float = 0.0
    history: list[float] = field(default_factory=list)


def train(
    task: Task,
    *,
    epochs: int,
    seed: int,
    device: torch.device | str,
    precision: Precision,
    clip_norm: float,
    every: int,
    folder: Path,
) -> list[float]:
    """Train a network in place, from the last checkpoint if there is one.

    On the CPU a training that was interrupted and resumed ends at the same bits as one that was not; on a GPU as far
    as its kernels are deterministic.

    Parameters
    ----------
    task : Task
    epochs : int
        How often all batches are seen.
    seed : int
        Of every generator, when it begins.
    device : torch.device or str
        "cpu" or "cuda".
    precision : {"32-true", "bf16-mixed"}
        Of the network's arithmetic; weights stay float32.
    clip_norm : float
        Longest gradient over all parameters; a longer one is shortened to it.
    every : int
        Steps between checkpoints; there is one at the end of each epoch anyway.
    folder : Path
        Of the checkpoint. Named after whatever shapes the training, since what is found there is taken up.

    Returns
    -------
    list of float
        Mean loss of each epoch.

    Raises
    ------
    Refusal
        E170: the loss or its gradient is not finite. The last checkpoint from before stays.
    """
    path, module, progress = folder / CHECKPOINT, task.module, Progress()
    optimiser, scheduler = task.optimiser()
    with _reproducible():
        # One process by itself: what a cluster's scheduler sets in the environment is not for us.
        alone = LightningEnvironment()
        fabric = Fabric(
            accelerator=torch.device(device).type, devices=1, precision=precision, plugins=[alone]
        )
        _seed(seed)
        called, stepped = fabric.setup(module, optimiser)
        called.train()
        begun = time.monotonic()
        began = states = None
        if path.is_file() and (found := _read(path)) is not None:
            progress = _restore(found, module, optimiser, scheduler)
            began, states = found["began"], found["states"]
            print(f"resumed at epoch {progress.epoch + 1}, step {progress.step}")
        while progress.epoch < epochs:
            if began is None:
                began = _states()
            else:
                _set_states(began)
            batches = iter(task.batches(progress.epoch))
            for _ in range(progress.batch):
                next(batches)
            if progress.batch:
                assert states is not None
                _set_states(states)
            for batch in batches:
                progress.total += _step(task, fabric, called, stepped, batch, clip_norm, progress)
                progress.batch += 1
                progress.step += 1
                if progress.step % every == 0:
                    _write(path, module, optimiser, scheduler, progress, began)
            if not progress.batch:
                raise ValueError("there is no batch to train on")
            if scheduler is not None:
                scheduler.step()
            progress.history.append(progress.total / progress.batch)
            progress.epoch, progress.batch, progress.total = progress.epoch + 1, 0, 0.0
            began = None
            _write(path, module, optimiser, scheduler, progress, _states())
            took = time.monotonic() - begun
            print(f"epoch {progress.epoch}/{epochs}: loss {progress.history[-1]:.4f}, {took:.0f} s")
    module.eval()
    return progress.history


def _step(
    task: Task,
    fabric: Fabric,
    module: Callable[..., Any],
    optimiser: Any,
    batch: Any,
    clip_norm: float,
    progress: Progress,
) -> float:
    """Take one step of the optimiser and return the loss before it."""
    optimiser.zero_grad()
    loss = task.loss(module, fabric.to_device(batch))
    value = float(loss.detach())
    norm = value
    if np.isfinite(value):
        fabric.backward(loss)
        parameters = [one for one in task.module.parameters() if one.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(parameters, clip_norm))
    if not np.isfinite(norm):
        what = "gradient" if np.isfinite(value) else "loss"
        at = {"what": what, "value": f"{norm}", "epoch": progress.epoch + 1, "step": progress.step + 1}
        raise Refusal("E170", CHECKPOINT, **at)
    optimiser.step()
    return value


@contextmanager
def _reproducible() -> Iterator[None]:
    """Choose deterministic kernels, and leave PyTorch and the generators as they were."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    states = _states()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Some layers have no deterministic gradient on a GPU: a warning in the log, rather than no training.
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        _set_states(states)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (what augmentation of other packages draws from)
    torch.manual_seed(seed)


def _states() -> dict[str, Any]:
    """Return the states of all generators as tensors and plain values."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": [version, list(internal), gauss],
    }


def _set_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == (torch.cuda.device_count() if torch.cuda.is_available() else 0):
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))


def _write(
    path: Path,
    module: nn.Module,
    optimiser: Optimizer,
    scheduler: LRScheduler | None,
    progress: Progress,
    began: dict[str, Any],
) -> None:
    """Write a checkpoint; ``began`` are the generators' states when the epoch began."""
    content = {
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "progress": vars(progress),
        "began": began,
        "states": _states(),
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_bytes(path, stream.getvalue())


def _read(path: Path) -> dict[str, Any] | None:
    """Return a checkpoint: tensors and plain values, for no other object is made; None if it is damaged."""
    try:
        found: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return found if found["began"] and found["states"] and found["progress"] else None
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        print(f"{path.name} cannot be read ({type(error).__name__}); training begins anew")
        return None


def _restore(
    found: dict[str, Any], module: nn.Module, optimiser: Optimizer, scheduler: LRScheduler | None
) -> Progress:
    module.load_state_dict(found["module"])
    optimiser.load_state_dict(found["optimiser"])
    if scheduler is not None:
        scheduler.load_state_dict(found["scheduler"])
    _set_states(found["states"])
    return Progress(**found["progress"])
