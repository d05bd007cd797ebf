"""The running average of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of the weights that are trained.

    The decay of step n is ``min(decay, (1 + n) / (10 + n))``, so that the weights it began with are soon forgotten (as
    TensorFlow's ExponentialMovingAverage with ``num_updates``). Statistics of batches are not averaged.

    Parameters
    ----------
    module : nn.Module
    decay : float
        0 to 1; with 0 nothing is averaged.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._trained = {name: one for name, one in module.named_parameters() if one.requires_grad and decay}
        self.weights = {name: one.detach().clone() for name, one in self._trained.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        if self.weights:
            keep = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.weights.values()), list(self._trained.values()), 1 - keep)

    @torch.no_grad()
    def apply(self) -> None:
        """Give the network the averaged weights."""
        for name, one in self.weights.items():
            self._trained[name].copy_(one)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights by name."""
        return self.weights

    @torch.no_grad()
    def load_state_dict(self, weights: dict[str, Tensor]) -> None:
        """Go on from what was averaged before."""
        for name, one in self.weights.items():
            one.copy_(weights[name])
