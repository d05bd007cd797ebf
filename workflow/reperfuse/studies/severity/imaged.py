"""Networks of the severity study, trained once without each inner fold, and their mean as prediction."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reperfuse.core.seeds import seed_of
from reperfuse.learning.training import train
from reperfuse.networks.mamba import undecayed
from reperfuse.studies.severity.architectures import (
    build,
    class_index,
    logit_of,
    rule_by_volume,
    volumes_of,
    with_volume,
)
from reperfuse.studies.severity.augmentation import augmented
from reperfuse.studies.severity.variants import effective

__all__ = ["Imaged", "build", "class_index", "effective", "fit"]
Array = np.ndarray
Settings = Mapping[str, Any]
# Images, labels, grades, logs of volumes.
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
# Steps between checkpoints.
EVERY = 100


@dataclass
class Imaging:
    """See `reperfuse.learning.training.Task`.

    Parameters
    ----------
    module : nn.Module
    images : ndarray of float16
        (n, C, S, R, L) of all training patients.
    rows : ndarray of int
        Those of this member.
    labels, grades : ndarray
        (n) 0 or 1, and the log of the score, standardised.
    settings : mapping
        From `effective`.
    seed : int
        Of the order.
    """

    module: nn.Module
    images: Array
    rows: Array
    labels: Array
    grades: Array
    settings: Settings
    seed: int

    def optimiser(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """Return AdamW, without decay of biases, norms and what a module says, and a cosine after a warm-up."""
        own = self.settings["training"]
        kept = undecayed(self.module)
        trained = [(name, one) for name, one in self.module.named_parameters() if one.requires_grad]
        decayed = [one for name, one in trained if one.ndim > 1 and name not in kept]
        plain = [one for name, one in trained if one.ndim <= 1 or name in kept]
        groups = [
            {"params": decayed, "weight_decay": own["weight_decay"]},
            {"params": plain, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW([one for one in groups if one["params"]], lr=own["lr"])

        def rate(epoch: int) -> float:
            if epoch < own["warmup"]:
                return (epoch + 1) / (own["warmup"] + 1)
            over = (epoch - own["warmup"]) / max(1, own["epochs"] - own["warmup"])
            return 0.5 * (1 + math.cos(math.pi * min(1.0, over)))

        return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, rate)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield augmented images, labels, grades and volumes in an order of the epoch's own; no sample is alone."""
        order = np.random.default_rng(seed_of(self.seed, epoch)).permutation(self.rows)
        wanted = self.settings["training"]["batch"]
        # Layers that use statistics of the batch have none of a single small map.
        n = math.ceil(len(order) / wanted)
        for rows in np.array_split(order, n if wanted == 1 else max(1, min(n, len(order) // 2))):
            images = torch.from_numpy(self.images[rows].astype(np.float32))
            shown = augmented(
                images, channels=self.settings["channels"], spacing_mm=self.settings["grid"]["spacing_mm"],
                **self.settings["augmentation"],
            )  # fmt: skip
            known = (self.labels[rows], self.grades[rows], volumes_of(images, self.settings))
            yield self._mixed(shown, *(torch.as_tensor(one, dtype=torch.float32) for one in known))

    def _mixed(self, *batch: Tensor) -> Batch:
        """Return each sample mixed with another (Zhang et al., ICLR 2018), where that is asked for."""
        alpha, n = self.settings["training"]["mixup"], len(batch[0])
        if alpha:
            share, other = torch.distributions.Beta(alpha, alpha).sample((n,)), torch.randperm(n)
            parts = (share.view(-1, *[1] * (one.ndim - 1)) for one in batch)
            batch = tuple(
                one * part + one[other] * (1 - part) for one, part in zip(batch, parts, strict=True)
            )
        images, labels, grades, volumes = batch
        return images, labels, grades, volumes

    def loss(self, module: Any, batch: Batch) -> Tensor:
        """Return the mean over samples of the classes' loss and, weighted against it, the score's squared error."""
        images, labels, grades, volumes = batch
        own, outputs = self.settings["training"], with_volume(module(images).float(), self.module, volumes)
        classes = self._of_classes(outputs[:, :2], labels)
        if not own["graded"]:
            return classes.mean()
        squared = (outputs[:, 2] - grades) ** 2
        return ((1 - own["graded"]) * classes + own["graded"] * squared).mean()

    def _of_classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        own = self.settings["training"]
        weights = None
        if own["class_weights"]:
            counts = np.bincount(self.labels[self.rows], minlength=2)
            weights = torch.from_numpy(len(self.rows) / (2 * counts.clip(1))).to(logits)
        shares = torch.stack([1 - labels, labels], dim=1).to(logits)  # mixed samples are of both classes
        found: Tensor = functional.cross_entropy(
            logits, shares, weight=weights, label_smoothing=own["label_smoothing"], reduction="none"
        )
        if own["loss"] == "focal":
            likely = (shares * torch.softmax(logits, dim=1)).sum(dim=1)
            found = (1 - likely) ** own["focal_gamma"] * found
        return found


@dataclass(frozen=True)
class Imaged:
    """A network, trained once without each inner fold.

    Parameters
    ----------
    settings : mapping
        From `effective`.
    channels : tuple of str
        Of the arrays that it is given; it is shown those of ``settings``.
    modules : list of nn.Module
        One for each inner fold.
    device : torch.device or str
    oof : ndarray
        (n) log odds of the training patients, each by the member that has not seen it.
    history : list of list of float
        Mean loss of each epoch, by member.
    n_parameters : int
        Of one member.
    """

    settings: Settings
    channels: tuple[str, ...]
    modules: list[nn.Module]
    device: Any
    oof: Array
    history: list[list[float]]
    n_parameters: int

    def predict(self, images: Array) -> Array:
        """Return (n) log odds, the mean over members, for images (n, C, S, R, L)."""
        shown = _select(images, self.channels, self.settings["channels"])
        return np.mean([_logits(one, shown, self.settings, self.device) for one in self.modules], axis=0)


def fit(
    name: str,
    settings: Settings,
    images: Array,
    y: Array,
    grade: Array,
    inner: Array,
    *,
    channels: Sequence[str],
    seed: int,
    device: Any,
    devices: int,
    folder: Path,
) -> Imaged:
    """Train a network once without each inner fold.

    Parameters
    ----------
    name : str
        See `build`.
    settings : mapping
        From `effective`.
    images : ndarray of float16, shape (n, C, S, R, L)
    y, grade : ndarray
        (n) label, and the score that it is cut from, which is learnt where ``graded`` says so and never shown.
    inner : ndarray of int
        (n) inner fold; at least two.
    channels : sequence of str
        Of ``images``.
    seed : int
        Of weights, order and augmentation, with the inner fold.
    device, devices : torch.device or str, int
        See `reperfuse.learning.training.train`.
    folder : Path
        Below it each member has a folder named after all that shapes its training, from which it is resumed.

    Raises
    ------
    Refusal
        E170: the loss became infinite; E171: memory does not suffice.
    """
    shown = _select(images, channels, settings["channels"])
    labels, scores = np.asarray(y).astype(np.int64), np.log1p(np.asarray(grade, dtype=np.float64))
    oof, modules, history = np.full(len(labels), np.nan), [], []
    for member in np.unique(inner):
        rows, held = np.flatnonzero(inner != member), np.flatnonzero(inner == member)
        if not len(rows):
            raise ValueError("there is one inner fold; expected at least two")
        own = seed_of(seed, name, int(member))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(own)
            module = build(name, settings, shown.shape[1], shown.shape[2:])
        grades, cut = _standardised(scores, labels, rows)
        if settings["training"]["graded"] == 1:
            module.get_buffer("cut").fill_(cut)
        if settings["training"]["volume"]:
            rule = rule_by_volume(
                volumes_of(torch.from_numpy(shown[rows]), settings), labels[rows], grades[rows], settings
            )
            module.get_buffer("by_volume").copy_(rule)
        task = Imaging(module, shown, rows, labels, grades, settings, seed_of(own, "order"))
        made_of = _digest(
            shown[rows], labels[rows], grades[rows], json.dumps([name, settings], sort_keys=True)
        )
        training = settings["training"]
        history.append(
            train(
                task, epochs=training["epochs"], seed=own, device=device, devices=devices,
                precision=training["precision"], clip_norm=training["clip_norm"], every=EVERY,
                ema_decay=training["ema_decay"], folder=Path(folder) / f"member-{int(member)}-{made_of}",
            )
        )  # fmt: skip
        oof[held] = _logits(module, shown[held], settings, device)
        modules.append(module)
    n_parameters = sum(one.numel() for one in modules[0].parameters())
    return Imaged(settings, tuple(channels), modules, device, oof, history, n_parameters)


def _standardised(scores: Array, labels: Array, rows: Array) -> tuple[Array, float]:
    """Return scores with mean 0 and SD 1 over the rows, and the middle between the two classes in that unit."""
    mean, sd = scores[rows].mean(), scores[rows].std() or 1.0
    below, above = scores[rows][labels[rows] == 0], scores[rows][labels[rows] == 1]
    middle = (
        np.log1p((np.expm1(below.max()) + np.expm1(above.min())) / 2) if len(below) and len(above) else mean
    )
    return ((scores - mean) / sd).astype(np.float32), float((middle - mean) / sd)


def _select(images: Array, channels: Sequence[str], wanted: Sequence[str]) -> Array:
    return (
        images
        if tuple(channels) == tuple(wanted)
        else images[:, [list(channels).index(one) for one in wanted]]
    )


def _logits(module: nn.Module, images: Array, settings: Settings, device: Any) -> Array:
    """Return (n) log odds, one image at a time: what is said of a patient must not depend on who else is asked."""
    module.eval().to(device)
    found = []
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
    ):
        for image in images:
            shown = torch.from_numpy(image[None].astype(np.float32)).to(device)
            outputs = with_volume(module(shown).double(), module, volumes_of(shown, settings).to(device))
            found.append(float(logit_of(outputs, module)[0]))
    return np.array(found, dtype=np.float64)


def _digest(*parts: Array | str) -> str:
    made = hashlib.sha256()
    for part in parts:
        made.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes())
    return made.hexdigest()[:16]
