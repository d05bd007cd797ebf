"""A voxel's perfusion curves, its diffusion patch and the patient's clinical values as one of two classes."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from reperfuse.networks.recurrence import final_state, joined

Output = Literal["last", "each"]
# Inputs at each time, diffusion values, clinical values; Yu et al. 2019 have the first four and propose the fifth.
MODES = {
    "pwi": (9, 0, 0),
    "pwi+aif": (10, 0, 0),
    "pwi+dwi": (9, 18, 0),
    "pwi+aif+dwi": (10, 18, 0),
    "pwi+aif+dwi+clinical": (10, 18, 3),
}


class VoxelLSTM(nn.Module):
    """An LSTM over time whose state and what does not change with time go through one linear layer.

    As in Yu et al. (MICCAI 2019), with PyTorch's layer: that has two biases for each gate where the paper's equations
    have one, 17 040 parameters instead of 16 800 at 9 inputs. The forget gate's are 1 and 0 at the beginning.

    Parameters
    ----------
    n_inputs : int
        Values at each time: 9 of a patch, 10 with the AIF.
    n_dwi, n_clinical : int
        Values that do not change with time: 0 or 18, 0 or 3.
    hidden : int
        Size of the state.
    output : {"last", "each"}
        The linear layer sees the last state; or there is one output for each time, whose logits are averaged, which
        is the output of the mean state.
    n_points : int
        Times.
    """

    def __init__(
        self, *, n_inputs: int, n_dwi: int, n_clinical: int, hidden: int, output: Output, n_points: int
    ) -> None:
        super().__init__()
        if output not in get_args(Output):
            raise ValueError(f"output is {output!r}; expected one of {', '.join(get_args(Output))}")
        self.n_inputs, self.n_static, self.n_points = n_inputs, n_dwi + n_clinical, n_points
        self.output: Output = output
        self.lstm = nn.LSTM(n_inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden + self.n_static, 2)
        forget = slice(hidden, 2 * hidden)
        with torch.no_grad():
            for name, value in (("bias_ih_l0", 1.0), ("bias_hh_l0", 0.0)):
                self.lstm.get_parameter(name)[forget] = value

    def state(self, curves: Tensor) -> Tensor:
        """Return what the linear layer sees of (n, n_points, n_inputs) curves: (n, hidden)."""
        if curves.device.type == "cpu":
            return final_state(curves, joined(self.lstm), mean=self.output == "each")
        every, (last, _) = self.lstm(curves)
        return every.mean(dim=1) if self.output == "each" else last[0]

    def forward(self, curves: Tensor, static: Tensor | None = None) -> Tensor:
        """Return the logits, (n, 2).

        Parameters
        ----------
        curves : Tensor
            (n, n_points, n_inputs), scaled.
        static : Tensor, optional
            (n, n_dwi + n_clinical), scaled; may be None where both are 0.

        Raises
        ------
        ValueError
            If a shape is another.
        """
        if curves.shape[1:] != (self.n_points, self.n_inputs):
            raise ValueError(
                f"curves are {tuple(curves.shape)}; expected (n, {self.n_points}, {self.n_inputs})"
            )
        if static is None:
            static = curves.new_empty(len(curves), 0)
        if static.shape != (len(curves), self.n_static):
            raise ValueError(f"static is {tuple(static.shape)}; expected ({len(curves)}, {self.n_static})")
        logits: Tensor = self.fc(torch.cat([self.state(curves), static], dim=1))
        return logits
