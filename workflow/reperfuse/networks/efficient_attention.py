"""Self-attention of voxels with fewer keys than voxels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class EfficientSelfAttention3d(nn.Module):
    """Attention of every voxel to blocks of voxels.

    Keys and values come from a convolution whose kernel and stride are ``reduction``. At an edge that is no multiple
    of it the last block is filled with zeros, which is a smaller kernel there; so also where the volume is smaller
    than a block.

    Parameters
    ----------
    channels, heads : int
        Channels are a multiple of heads.
    reduction : int
        Edge of a block in voxels; 1 for plain self-attention.

    Raises
    ------
    ValueError
        If channels are no multiple of heads.

    References
    ----------
    Xie et al.: SegFormer, NeurIPS 2021, section 3.1, with the sequence reduction of PVT (Wang et al., ICCV 2021); the
    normalisation before it belongs to SegFormer's block, whose other half is not used.
    """

    def __init__(self, channels: int, *, heads: int, reduction: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels are {channels}; expected a multiple of heads, {heads}")
        self.heads, self.reduction = heads, reduction
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        if reduction > 1:
            self.reduce = nn.Conv3d(channels, channels, reduction, reduction)
            self.reduced_norm = nn.LayerNorm(channels)

    def reduced(self, tokens: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return (B, blocks, C) for tokens (B, D·H·W, C)."""
        if self.reduction == 1:
            return tokens
        missing = [at for size in reversed(shape) for at in (0, -size % self.reduction)]
        volume = functional.pad(tokens.transpose(1, 2).unflatten(2, shape), missing)
        out: Tensor = self.reduced_norm(self.reduce(volume).flatten(2).transpose(1, 2))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, D, H, W) for features of that shape."""
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        key, value = self.key_value(self.reduced(tokens, tuple(x.shape[2:]))).chunk(2, dim=-1)
        split = (
            one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in (self.query(tokens), key, value)
        )
        seen = functional.scaled_dot_product_attention(*split)
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out.transpose(1, 2).reshape(x.shape)
