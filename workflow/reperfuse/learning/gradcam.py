"""Gradient-weighted class activation maps, and what they are worth once layers are made random."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import torch
from monai.visualize.class_activation_maps import GradCAM
from torch import nn

Array = np.ndarray


def raw_maps(
    module: nn.Module, images: Array, layer: str, *, class_index: int, device: torch.device | str
) -> Array:
    """Return where a layer's features speak for a class (Selvaraju et al., ICCV 2017, eq. 1 and 2).

    Parameters
    ----------
    module : nn.Module
        (B, C, ...) → (B, n_classes) before any softmax. It is left as it was: no hook, no gradient, no other mode.
    images : ndarray, shape (B, C, ...)
    layer : str
        Name of a module inside whose output is (B, features, ...).
    class_index : int
        Output whose gradient weighs the features.
    device : torch.device or str

    Returns
    -------
    ndarray of float32, shape (B, d, h, w)
        As coarse as the layer. Negative values are 0 (the method's ReLU), nothing is scaled. 0 everywhere where no
        place speaks for the class. The images of a batch do not change each other's maps.

    Raises
    ------
    ValueError
        There is no such layer.

    Notes
    -----
    MONAI's own post-processing turns a map upside down (it scales the largest value to 0 and the smallest to 1, for
    a display in which warm colours are low) and needs the size of the image; neither is wanted here.
    """
    if layer not in dict(module.named_modules()):
        raise ValueError(f"{type(module).__name__} has no layer {layer!r}.")
    # Hooks stay on what MONAI is given, and gradients in its parameters, so that it gets a module of its own.
    own = deepcopy(module).to(device=device, dtype=torch.float32).eval().requires_grad_(True)
    for one in own.modules():
        if getattr(one, "inplace", False):  # what overwrites the features cannot be asked for their gradient
            one.inplace = False  # type: ignore[assignment]
    cam = GradCAM(own, layer, upsampler=lambda size: nn.Identity(), postprocessing=lambda found: found)
    made = []
    for image in np.asarray(images):
        x = torch.as_tensor(np.asarray(image, dtype=np.float32))[None].to(device)
        made.append(cam(x, class_idx=class_index)[0, 0].detach().cpu().numpy())
    return np.stack(made).astype(np.float32)


def randomised(module: nn.Module, *, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield a module with more and more of its layers made random, from the last to the first.

    Cascading randomisation of Adebayo et al. (NeurIPS 2018): a map that does not change with it does not show what
    the network has learnt. Here the values of each tensor are shuffled among themselves, which keeps their scale.

    Parameters
    ----------
    module : nn.Module
        It is left as it was.
    seed : int

    Yields
    ------
    name, module
        The child that was made random just now, and a module in which it and all after it are; the same module each
        time. Children without parameters are passed over, and of a module around a single one the children of that
        are meant.
    """
    own = inner = deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    while len(children := list(inner.named_children())) == 1 and list(children[0][1].children()):
        inner = children[0][1]
    for name, child in reversed(list(inner.named_children())):
        values = list(child.parameters())
        for value in values:
            order = torch.randperm(value.numel(), generator=generator)
            value.data = value.data.flatten()[order.to(value.device)].view_as(value)
        if values:
            yield name, own
