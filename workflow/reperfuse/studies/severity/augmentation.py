"""What is done to images at random while a network is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from reperfuse.imaging.network_grid import CLIP_SD

# Points along each axis from which smooth fields of bias and of shifts are drawn.
BIAS_POINTS, ELASTIC_POINTS = 3, 4
# What part of each edge a blanked box has.
BOX_SHARE = 8


def augmented(
    images: Tensor,
    *,
    channels: Sequence[str],
    spacing_mm: Sequence[float],
    rotation_deg: float,
    scale: float,
    shift_mm: float,
    elastic_mm: float,
    gamma: float,
    noise: float,
    bias: float,
    dropout: float,
    flip: bool,
) -> Tensor:
    """Return images turned, scaled, shifted, and changed in intensity, each sample in its own way.

    Drawn uniformly from PyTorch's generator alone, which the training loop seeds before each batch. Trace and ADC are
    interpolated and changed inside the brain alone, and stay 0 outside it; a lesion is moved with them and stays
    between 0 and 1.

    Parameters
    ----------
    images : Tensor of float32, shape (B, C, S, R, L)
        From `reperfuse.imaging.network_grid.channel`.
    channels : sequence of {"trace", "adc", "lesion"}
    spacing_mm : sequence of 3 floats
        Of slices, rows, columns.
    rotation_deg, scale, shift_mm : float
        Largest rotation about each axis, change of size, and shift along each axis; of all channels alike.
    elastic_mm : float
        Largest shift along each axis at 4×4×4 points; smooth between them.
    gamma : float
        Largest log of the exponent of an image relative to its mean.
    noise : float
        Largest SD of normal noise, in SD of the brain.
    bias : float
        Largest log of a smooth field that an image is multiplied by.
    dropout : float
        Probability that a box of an eighth of each edge is blanked in all channels.
    flip : bool
        Left and right exchanged in half of the draws.
    """
    measured = torch.tensor([name != "lesion" for name in channels], device=images.device)
    found = images
    if rotation_deg or scale or shift_mm or elastic_mm or flip:
        affine = _affine(len(images), rotation_deg, scale, shift_mm, flip)
        found = _moved(found, measured, affine, elastic_mm, spacing_mm)
    if measured.any() and (gamma or noise or bias):
        found = torch.where(
            measured[:, None, None, None] & (found > 0), _changed(found, gamma, noise, bias), found
        )
    return _blanked(found, dropout) if dropout else found


def _affine(n: int, rotation_deg: float, scale: float, shift_mm: float, flip: bool) -> tuple[Tensor, Tensor]:
    """Return matrices (n, 3, 3) and shifts in mm (n, 3) from output to input; axes left, anterior, superior."""
    drawn = 2 * torch.rand(n, 8) - 1
    angles = torch.deg2rad(drawn[:, :3] * rotation_deg)
    matrix = torch.eye(3).expand(n, 3, 3)
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3).repeat(n, 1, 1)
        turn[:, i, i] = turn[:, j, j] = torch.cos(angles[:, axis])
        turn[:, j, i] = torch.sin(angles[:, axis])
        turn[:, i, j] = -turn[:, j, i]
        matrix = turn @ matrix
    size = 1 + drawn[:, 6] * scale
    mirror = torch.ones(n, 3)
    if flip:
        mirror[:, 0] = torch.where(drawn[:, 7] < 0, -1.0, 1.0)
    return matrix * mirror[:, None, :] / size[:, None, None], drawn[:, 3:6] * shift_mm


def _moved(
    images: Tensor,
    measured: Tensor,
    affine: tuple[Tensor, Tensor],
    elastic_mm: float,
    spacing_mm: Sequence[float],
) -> Tensor:
    matrix, shift = affine
    # affine_grid knows half the field of view as 1, along columns, rows and slices.
    half = torch.tensor([n * mm / 2 for n, mm in zip(images.shape[2:], spacing_mm, strict=True)]).flip(0)
    theta = torch.cat([matrix * half[None, None, :] / half[None, :, None], (shift / half)[:, :, None]], dim=2)
    grid = functional.affine_grid(theta.to(images), list(images.shape), align_corners=False)
    if elastic_mm:
        drawn = (
            elastic_mm * (2 * torch.rand(len(images), 3, *[ELASTIC_POINTS] * 3) - 1) / half.view(3, 1, 1, 1)
        )
        smooth = functional.interpolate(drawn, images.shape[2:], mode="trilinear", align_corners=True)
        grid = grid + smooth.permute(0, 2, 3, 4, 1).to(images)
    inside = (images[:, measured] > 0).to(images)
    pulled = functional.grid_sample(torch.cat([images, inside], dim=1), grid, align_corners=False)
    found, weight = pulled[:, : images.shape[1]], pulled[:, images.shape[1] :]
    # Background counted as 0 in the mean would draw a dark rim that no patient has.
    found[:, ~measured] = found[:, ~measured].clamp(0.0, 1.0)  # the weights' sum may exceed 1 by rounding
    found[:, measured] = torch.where(weight >= 0.5, found[:, measured] / weight.clamp_min(0.5), 0.0)
    return found


def _changed(images: Tensor, gamma: float, noise: float, bias: float) -> Tensor:
    """Return images of another contrast, inhomogeneous and noisy; the brain's mean lies at `CLIP_SD`."""
    n, c = images.shape[:2]
    exponent = torch.exp(gamma * (2 * torch.rand(n, c, 1, 1, 1) - 1)).to(images)
    field = bias * (2 * torch.rand(n, c, BIAS_POINTS, BIAS_POINTS, BIAS_POINTS) - 1).to(images)
    deviation = (noise * torch.rand(n, c, 1, 1, 1)).to(images)
    found = CLIP_SD * (images / CLIP_SD).pow(exponent)
    if bias:
        found = found * torch.exp(
            functional.interpolate(field, images.shape[2:], mode="trilinear", align_corners=True)
        )
    if noise:
        found = found + deviation * torch.randn(images.shape).to(images)
    return found.clamp(0.0, 2 * CLIP_SD)


def _blanked(images: Tensor, probability: float) -> Tensor:
    drawn = torch.rand(len(images), 4)
    blank = (drawn[:, 3] < probability)[:, None, None, None]
    for axis, n in enumerate(images.shape[2:]):
        length = max(1, n // BOX_SHARE)
        start = (drawn[:, axis] * (n - length + 1)).long()[:, None]
        along = (torch.arange(n) >= start) & (torch.arange(n) < start + length)
        blank = blank & along.view(len(images), *(n if one == axis else 1 for one in range(3)))
    return images.masked_fill(blank[:, None].to(images.device), 0.0)
