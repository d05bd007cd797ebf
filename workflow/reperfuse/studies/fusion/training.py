"""A network that reconstructs its contrasts: how it is shown patients, what is made small, and who decodes what."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reperfuse.core.seeds import seed_of
from reperfuse.learning.training import train

Array = np.ndarray
Settings = Mapping[str, Any]
Batch = dict[str, Tensor]
# Steps between checkpoints.
EVERY = 100


@dataclass
class Reconstructing:
    """See `reperfuse.learning.training.Task`.

    Parameters
    ----------
    module : nn.Module
        Called with images and which of their contrasts it may see; returns the images again.
    images : ndarray of float16, shape (n, M, S, R, L)
        Of the training patients, between 0 and 1.
    there : ndarray of bool, shape (n, M)
        Which contrasts they have.
    mask : ndarray of bool, shape (S, R, L)
    settings : mapping
        ``training``.
    spacing_mm : sequence of 3 floats
        Between slices, rows, columns.
    seed : int
        Of the order.
    """

    module: nn.Module
    images: Array
    there: Array
    mask: Array
    settings: Settings
    spacing_mm: Sequence[float]
    seed: int

    def optimiser(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """Return Adam, whose rate falls by steps as far as the floor."""
        own = self.settings
        optimiser = torch.optim.Adam(self.module.parameters(), lr=own["lr"], weight_decay=own["weight_decay"])

        def rate(epoch: int) -> float:
            return float(max(own["decay"] ** (epoch // own["decay_every"]), own["floor"] / own["lr"]))

        return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, rate)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield images, the mask as it lies in them, what is there and what of it may be seen."""
        order = np.random.default_rng(seed_of(self.seed, epoch)).permutation(len(self.images))
        # Batches of nearly one size: a last one of a single patient would weigh as much as the others.
        for rows in np.array_split(order, math.ceil(len(order) / self.settings["batch"])):
            images = torch.from_numpy(self.images[rows].astype(np.float32))
            masks = torch.from_numpy(np.broadcast_to(self.mask, (len(rows), *self.mask.shape)).copy())
            there = torch.from_numpy(self.there[rows])
            for i in range(len(rows)):
                images[i], masks[i] = self._moved(images[i], masks[i])
            yield {"images": images, "mask": masks, "there": there, "seen": self._seen(there)}

    def _moved(self, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return a patient mirrored and shifted by whole voxels, so that nothing is interpolated."""
        if self.settings["flip"] and torch.rand(()) < 0.5:
            images, mask = images.flip(-1), mask.flip(-1)
        for axis, mm in zip((-3, -2, -1), self.spacing_mm, strict=True):
            if most := int(self.settings["shift_mm"] / mm):
                by = int(torch.randint(-most, most + 1, ()))
                images, mask = _shifted(images, by, axis), _shifted(mask, by, axis)
        return images, mask

    def _seen(self, there: Tensor) -> Tensor:
        """Return what the encoder may see: what is there, without what is hidden; at least one contrast stays."""
        hidden = torch.rand(there.shape) < self.settings["contrast_dropout"]
        seen = there & ~hidden
        for row in torch.nonzero(~seen.any(dim=1)).flatten().tolist():
            known = torch.nonzero(there[row]).flatten()
            seen[row, known[torch.randint(len(known), ())]] = True
        return seen

    def loss(self, module: Any, batch: Batch) -> Tensor:
        """Return the mean over samples of `squared_error`."""
        shown = batch["images"] * batch["seen"][:, :, None, None, None]
        found = module(shown, batch["seen"] if self.settings["contrast_dropout"] else None)
        return squared_error(found, batch)


def squared_error(found: Tensor, batch: Batch) -> Tensor:
    """Return the mean over samples, and over the contrasts that each has, of the mean squared error in the mask."""
    mask = batch["mask"][:, None].to(found.dtype)
    error = ((found.float() - batch["images"]) ** 2 * mask).sum(dim=(2, 3, 4)) / mask.sum(
        dim=(2, 3, 4)
    ).clamp_min(1)
    there = batch["there"].to(error.dtype)
    return ((error * there).sum(dim=1) / there.sum(dim=1)).mean()


@dataclass(frozen=True)
class Network:
    """A trained network as what encodes a patient and decodes a code.

    Parameters
    ----------
    module : nn.Module
        With `encode` and `decode` of `reperfuse.networks.fusion_autoencoder.FusionAutoencoder`.
    partial : bool
        Whether it has learnt to do without a contrast.
    device : torch.device or str
    """

    module: Any
    partial: bool
    device: Any

    def encode(self, image: Array, there: Array) -> tuple[Array, list[Tensor]]:
        """Return a patient's (k) code, and what passes around it.

        Parameters
        ----------
        image : ndarray, shape (M, S, R, L)
        there : ndarray of bool, shape (M,)
        """
        self.module.eval().to(self.device)
        with torch.inference_mode(), _exact():
            shown = torch.from_numpy(image[None].astype(np.float32)).to(self.device)
            seen = torch.from_numpy(there[None]).to(self.device) if self.partial else None
            codes, skips = self.module.encode(shown, seen)
        return codes[0].float().cpu().numpy(), skips

    def decode(self, code: Array, skips: list[Tensor], shape: Sequence[int]) -> Array:
        """Return (M, S, R, L) float32 for a code, with what passed around it."""
        with torch.inference_mode(), _exact():
            codes = torch.from_numpy(code[None].astype(np.float32)).to(self.device)
            found: Array = self.module.decode(codes, skips, tuple(shape))[0].float().cpu().numpy()
        return found

    @property
    def n_parameters(self) -> int:
        """Of the network, without a linear path."""
        return sum(one.numel() for one in self.module.parameters())


def fit(
    build: Callable[[], nn.Module],
    settings: Settings,
    images: Array,
    there: Array,
    mask: Array,
    *,
    task: type[Reconstructing],
    spacing_mm: Sequence[float],
    seed: int,
    device: Any,
    devices: int,
    folder: Path,
) -> tuple[Network, list[float]]:
    """Train a network and return it with the loss of each epoch.

    Parameters
    ----------
    build : callable
        Returns the network untrained; its weights are drawn from ``seed``.
    settings : mapping
        ``training`` of the section.
    images : ndarray of float16, shape (n, M, S, R, L)
    there : ndarray of bool, shape (n, M)
    mask : ndarray of bool, shape (S, R, L)
    task : type
        `Reconstructing`, or what has another loss.
    spacing_mm : sequence of 3 floats
    seed : int
        Of weights, order and augmentation.
    device, devices : torch.device or str, int
        See `reperfuse.learning.training.train`.
    folder : Path
        Below it the training has a folder named after all that shapes it, from which it is resumed.

    Raises
    ------
    Refusal
        E170: the loss became infinite; E171: memory does not suffice.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build()
    shaping = json.dumps([repr(module), settings, list(spacing_mm)], sort_keys=True)
    history = train(
        task(module, images, there, mask, settings, tuple(spacing_mm), seed_of(seed, "order")),
        epochs=settings["epochs"], seed=seed, device=device, devices=devices, precision=settings["precision"],
        clip_norm=settings["clip_norm"], every=EVERY, ema_decay=settings["ema_decay"],
        folder=Path(folder) / _digest(images, there, mask, shaping),
    )  # fmt: skip
    return Network(module, partial=settings["contrast_dropout"] > 0, device=device), history


def _shifted(array: Tensor, by: int, axis: int) -> Tensor:
    """Return an array moved along an axis; what comes in from outside is 0."""
    found = torch.roll(array, by, axis)
    length = array.shape[axis]
    if by:
        found.narrow(axis, 0 if by > 0 else length + by, abs(by)).zero_()
    return found


def _exact() -> AbstractContextManager[None]:
    """Return the settings under which a GPU gives the same twice."""
    flags: Any = torch.backends.cudnn.flags
    return flags(enabled=True, deterministic=True, allow_tf32=False)


def _digest(*parts: Array | str) -> str:
    made = hashlib.sha256()
    for part in parts:
        made.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).data)
    return made.hexdigest()[:16]
