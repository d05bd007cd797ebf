"""The likelihood of a whole brain, without making a patch of each voxel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reperfuse.networks.lstm import VoxelLSTM
from reperfuse.networks.recurrence import joined, run
from reperfuse.studies.transformation.features import shifts

Array = np.ndarray


def likelihood(
    module: VoxelLSTM,
    concentration: Array,
    aif: Array | None,
    static: Array | None,
    where: Array,
    *,
    device: torch.device | str,
    chunk: int,
) -> Array:
    """Return the probability of the second class at each voxel of a mask.

    The input's part in the gates is a 3×3 convolution at each time, whose weights are those of the LSTM's input: each
    concentration is taken from the grid where nine voxels share it, and one product of ``[W_h | W_x | b]`` with state,
    neighbours and ones gives the gates of a chunk of voxels.

    Parameters
    ----------
    module : VoxelLSTM
    concentration : ndarray
        (x, y, z, t), scaled as in training.
    aif : ndarray, optional
        (t,), scaled; where the network has a tenth input.
    static : ndarray, optional
        (x, y, z, s) or, for the voxels of ``where`` alone, (n, s): scaled diffusion and clinical values.
    where : ndarray
        (x, y, z) bool, not on the grid's border in plane (`features.interior`).
    device : torch.device or str
    chunk : int
        Voxels at once, which need about 2.2 kB each.

    Returns
    -------
    ndarray
        (n,) float32, in C order of the mask.

    Raises
    ------
    ValueError
        If a shape is not what the network was made for, or the mask reaches the border.
    """
    _check(module, concentration, aif, static, where)
    voxels = np.flatnonzero(where)
    found = np.empty(len(voxels), dtype=np.float32)
    fixed = None if static is None else static.reshape(-1, static.shape[-1])
    everywhere = static is not None and static.ndim == 4
    with torch.inference_mode():
        weights, fc = joined(module.lstm).to(device), module.fc.to(device)
        curves = torch.from_numpy(np.ascontiguousarray(concentration, dtype=np.float32)).to(device).view(-1)
        tenth = None if aif is None else torch.from_numpy(np.asarray(aif, dtype=np.float32)).to(device)
        steps = torch.from_numpy(shifts(where.shape))[:, None].to(device)
        for start in range(0, len(voxels), chunk):
            part = slice(start, start + chunk)
            at = voxels[part]
            first = (torch.from_numpy(at).to(device) + steps) * module.n_points
            state = _state(weights, curves, first, tenth, times=module.n_points, mean=module.output == "each")
            if fixed is not None:
                values = np.asarray(fixed[at if everywhere else part], dtype=np.float32)
                state = torch.cat([state, torch.from_numpy(values).to(device).t()])
            logits = torch.addmm(fc.bias[:, None], fc.weight, state)
            found[part] = torch.softmax(logits, dim=0)[1].cpu().numpy()
    return found


def _state(
    weights: Tensor, curves: Tensor, first: Tensor, aif: Tensor | None, *, times: int, mean: bool
) -> Tensor:
    """Return the states (h, n) that the LSTM comes to.

    ``curves`` are all curves of the grid one after another, ``first`` (9, n) where those of each voxel's neighbours
    begin. It is moved on with time. What a chunk needs of the curves stays in the processor's cache meanwhile.
    """
    where = first.view(-1)

    def fill(t: int, rows: Tensor) -> None:
        torch.index_select(curves, 0, where, out=rows[:9].view(-1))
        where.add_(1)
        if aif is not None:
            rows[9] = aif[t]

    return run(weights, fill, first.shape[1], times, mean=mean)


def _check(
    module: VoxelLSTM, concentration: Array, aif: Array | None, static: Array | None, where: Array
) -> None:
    times = module.n_points
    if concentration.shape != (*where.shape, times):
        raise ValueError(f"concentration is {concentration.shape}; expected {(*where.shape, times)}")
    if (9 if aif is None else 10) != module.n_inputs or (aif is not None and aif.shape != (times,)):
        raise ValueError(
            f"the AIF is {None if aif is None else aif.shape}, but the network has {module.n_inputs} inputs; "
            f"expected ({times},) for 10 and none for 9"
        )
    n = 0 if static is None else static.shape[-1]
    shapes = ((*where.shape, n), (int(where.sum()), n))
    if n != module.n_static or (static is not None and static.shape not in shapes):
        raise ValueError(
            f"static is {None if static is None else static.shape}; expected {module.n_static} values for each voxel"
        )
    if where[[0, -1]].any() or where[:, [0, -1]].any():
        raise ValueError("the mask reaches the border of the grid in plane, where a voxel has no 3×3 patch")
