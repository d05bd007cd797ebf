"""The likelihood of a whole brain, without making a patch of each voxel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reperfuse.networks.lstm import VoxelLSTM
from reperfuse.networks.recurrence import joined, run
from reperfuse.studies.transformation.features import interior, shifts

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
        Voxels at once. What is needed at once is about 2.2 kB for each, and one slab of the grid.

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
    steps = shifts(where.shape)
    reach = int(steps[-1])
    flat = concentration.reshape(-1, module.n_points)
    fixed = None if static is None else static.reshape(-1, static.shape[-1])
    everywhere = static is not None and static.ndim == 4
    with torch.inference_mode():
        weights, fc = joined(module.lstm).to(device), module.fc.to(device)
        tenth = None if aif is None else torch.from_numpy(np.asarray(aif, dtype=np.float32)).to(device)
        for start in range(0, len(voxels), chunk):
            part = slice(start, start + chunk)
            at = voxels[part]
            first = int(at[0]) - reach
            slab = (
                torch.from_numpy(flat[first : int(at[-1]) + reach + 1])
                .to(device, torch.float32)
                .t()
                .contiguous()
            )
            around = torch.from_numpy((at - first)[None] + steps[:, None]).to(device)
            state = _state(weights, slab, around, tenth, mean=module.output == "each")
            if fixed is not None:
                values = np.asarray(fixed[at if everywhere else part], dtype=np.float32)
                state = torch.cat([state, torch.from_numpy(values).to(device).t()])
            logits = torch.addmm(fc.bias[:, None], fc.weight, state)
            found[part] = torch.softmax(logits, dim=0)[1].cpu().numpy()
    return found


def _state(weights: Tensor, slab: Tensor, around: Tensor, aif: Tensor | None, *, mean: bool) -> Tensor:
    """Return the states (h, n) that the LSTM comes to.

    ``slab`` (t, m) are concentrations, ``around`` (9, n) the columns of each voxel's neighbours in it.
    """
    columns, n = around.reshape(-1), around.shape[1]

    def fill(t: int, rows: Tensor) -> None:
        torch.index_select(slab[t], 0, columns, out=rows[:9].view(-1))
        if aif is not None:
            rows[9] = aif[t]

    return run(weights, fill, n, len(slab), mean=mean)


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
    if (where & ~interior(where)).any():
        raise ValueError("the mask reaches the border of the grid in plane, where a voxel has no 3×3 patch")
