"""Coordinate attention in three dimensions."""

from __future__ import annotations

from torch import Tensor, cat, nn

LEAST_CHANNELS = 8


class CoordinateAttention3d(nn.Module):
    """Weigh each voxel of a channel by where it lies along depth, height and width.

    For each axis the features are averaged over the other two, so that position along it is kept. The three profiles
    share one projection to few channels; from these each gives the weights of its axis, between 0 and 1.

    Parameters
    ----------
    channels : int
    reduction : int
        Channels by those of the shared projection, which are at least 8.

    References
    ----------
    Hou, Zhou, Feng: Coordinate Attention, CVPR 2021, equations 4 to 9, with a third axis; its batch normalisation is
    one over all channels of a sample here (GroupNorm with one group), because batches are small.
    """

    def __init__(self, channels: int, *, reduction: int) -> None:
        super().__init__()
        few = max(LEAST_CHANNELS, channels // reduction)
        self.shared = nn.Sequential(nn.Conv1d(channels, few, 1), nn.GroupNorm(1, few), nn.Hardswish())
        self.axes = nn.ModuleList(nn.Conv1d(few, channels, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, D, H, W) for features of that shape."""
        profiles = self.shared(cat([x.mean((3, 4)), x.mean((2, 4)), x.mean((2, 3))], dim=2))
        along = profiles.split(list(x.shape[2:]), dim=2)
        d, h, w = (conv(one).sigmoid() for conv, one in zip(self.axes, along, strict=True))
        return x * (d[..., :, None, None] * h[..., None, :, None]) * w[..., None, None, :]
