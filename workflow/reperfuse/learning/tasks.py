"""What the training loop is given: a network, its batches, and who makes what small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


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
        """Yield tensors, or tuples, lists or dicts of them, with samples along the first axis.

        Order and augmentation may be drawn from ``epoch``, or from PyTorch's, NumPy's or Python's own generator, which
        are seeded before each batch; from nothing else, or a training that is resumed would go another way.
        """
        ...

    def loss(self, module: Callable[..., Any], batch: Any) -> Tensor:
        """Return the scalar to be made small: a mean over the batch's samples, since batches are divided.

        ``module`` is the network as it must be called.
        """
        ...


@dataclass(frozen=True)
class Turn:
    """One optimiser of several, and what it makes small.

    Parameters
    ----------
    name : str
        Of the loss, in the history.
    optimiser, schedule, loss
        As `Task` has them; in its turn only the optimiser's own parameters are changed.
    """

    name: str
    optimiser: Optimizer
    schedule: LRScheduler | None
    loss: Callable[[Callable[..., Any], Any], Tensor]


@runtime_checkable
class TaskOfTurns(Protocol):
    """A task whose batches are shown to several optimisers, such as an autoencoder's and its discriminator's."""

    @property
    def module(self) -> nn.Module:
        """All networks, as one module with one ``forward``."""
        ...

    def turns(self) -> Sequence[Turn]:
        """Return who takes a step on each batch, in order. The first one's loss is what `train` returns."""
        ...

    def batches(self, epoch: int) -> Iterable[Any]:
        """As `Task` has them."""
        ...


def turns_of(task: Task | TaskOfTurns) -> list[Turn]:
    """Return who takes a step on each batch; a task with one optimiser is a task of one turn."""
    if isinstance(task, TaskOfTurns):
        return list(task.turns())
    return [Turn("loss", *task.optimiser(), task.loss)]
