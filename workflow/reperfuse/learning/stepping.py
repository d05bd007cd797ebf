"""One step of a training: the gradients of a batch, whatever it takes to fit it in, and the optimisers' steps."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reperfuse.core.errors import Refusal
from reperfuse.core.seeds import seed_of
from reperfuse.learning.batches import cut, share, size_of
from reperfuse.learning.checkpoint import CHECKPOINT, Progress
from reperfuse.learning.generators import seed_all
from reperfuse.learning.tasks import Turn


@dataclass(frozen=True)
class Stepper:
    """Takes steps.

    Parameters
    ----------
    fabric : Fabric
    called : callable
        The network as Fabric set it up.
    stepped : sequence
        The optimisers as Fabric set them up, one for each turn.
    turns : sequence of Turn
    seed, clip_norm
        See `reperfuse.learning.training.train`.
    """

    fabric: Fabric
    called: Any
    stepped: Sequence[Any]
    turns: Sequence[Turn]
    seed: int
    clip_norm: float

    def step(self, batch: Any, progress: Progress) -> None:
        """Show a batch to every turn, and say so in ``progress``."""
        n = size_of(batch)
        for number, turn in enumerate(self.turns):
            loss = self._take(number, turn, batch, n, progress)
            progress.losses[turn.name] = progress.losses.get(turn.name, 0.0) + loss * n
        if self.fabric.world_size > 1:
            for one in self.called.buffers():  # statistics of batches are those of the first device
                torch.distributed.broadcast(one, 0)
        progress.batch, progress.seen, progress.step = (
            progress.batch + 1,
            progress.seen + n,
            progress.step + 1,
        )

    def anywhere(self, here: bool) -> bool:
        """Whether something is so on any device."""
        if self.fabric.world_size == 1:
            return here
        return float(self._sum(torch.tensor(float(here), device=self.fabric.device))) > 0

    def _take(self, number: int, turn: Turn, batch: Any, n: int, progress: Progress) -> float:
        """Take one optimiser's step on ``n`` samples and return the loss before it."""
        mine = cut(batch, share(n, self.fabric.global_rank, self.fabric.world_size))
        while True:
            seed_all(seed_of(self.seed, "step", progress.step, number, self.fabric.global_rank))
            self.stepped[number].zero_grad()
            loss = self._gradients(turn.loss, mine, n, progress.at_once)
            if not self.anywhere(loss is None):
                break
            progress.at_once = self._halved(n, progress.at_once)
        assert loss is not None
        trained = [
            one for group in turn.optimiser.param_groups for one in group["params"] if one.requires_grad
        ]
        if self.fabric.world_size > 1:
            loss = self._of_all(loss, trained)
        precision = self.fabric.strategy.precision
        scaler = getattr(precision, "scaler", None)
        precision.unscale_gradients(turn.optimiser)
        norm = nn.utils.clip_grad_norm_(trained, self.clip_norm)
        value, length = torch.stack([loss, norm]).tolist()
        # A scaled gradient may overflow: the scaler then leaves the step out and lowers the scale, as far as it goes.
        may_overflow = scaler is not None and scaler.get_scale() >= 1
        if not math.isfinite(value) or not (math.isfinite(length) or may_overflow):
            what, found = ("gradient", length) if math.isfinite(value) else (turn.name, value)
            at = {"step": progress.step + 1, "epoch": progress.epoch + 1, "batch": progress.batch + 1}
            raise Refusal("E170", CHECKPOINT, what=what, value=str(found), **at)
        self.stepped[number].step()
        return float(value)

    def _gradients(self, loss_of: Callable[..., Tensor], mine: Any, n: int, at_once: int) -> Tensor | None:
        """Add up the gradients of this device's part of ``n`` samples; return its loss, None if memory is short."""
        size = size_of(mine)
        total = torch.zeros((), device=self.fabric.device)
        try:
            with self.fabric.no_backward_sync(
                self.called
            ):  # they are added up when all devices have succeeded
                for start in range(0, size, at_once or size or 1):
                    piece = self.fabric.to_device(cut(mine, slice(start, start + (at_once or size))))
                    # The mean over all samples, of which this piece has some.
                    loss = loss_of(self.called, piece) * (size_of(piece) / n)
                    self.fabric.backward(loss)
                    total += loss.detach()
        except torch.cuda.OutOfMemoryError:
            return None
        return total

    def _halved(self, n: int, at_once: int) -> int:
        """Return how many samples to show at once instead.

        Raises
        ------
        Refusal
            E171: it was one.
        """
        largest = math.ceil(n / self.fabric.world_size)
        tried = min(at_once or largest, largest)
        if tried == 1:
            raise Refusal("E171", CHECKPOINT, peak_gb=round(_peak_gb(self.fabric.device), 1))
        torch.cuda.empty_cache()
        if self.fabric.is_global_zero:
            print(f"memory is short: {math.ceil(tried / 2)} samples at once from now on", flush=True)
        return math.ceil(tried / 2)

    def _of_all(self, loss: Tensor, trained: Sequence[Tensor]) -> Tensor:
        """Give each device the gradients of all, and return their loss."""
        found = [torch.zeros_like(one) if one.grad is None else one.grad for one in trained]
        *summed, loss = torch.split(
            self._sum(torch.cat([*(one.flatten() for one in found), loss[None]])),
            [*(one.numel() for one in found), 1],
        )
        for parameter, gradient in zip(trained, summed, strict=True):
            parameter.grad = gradient.view_as(parameter)
        return loss[0]

    def _sum(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, self.fabric.all_reduce(tensor, reduce_op="sum"))


def _peak_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
