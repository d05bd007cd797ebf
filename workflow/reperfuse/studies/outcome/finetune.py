"""The backbone fine-tuned on each training fold, to stand beside the frozen one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.leakage import Audit
from reperfuse.imaging.reader import read_present
from reperfuse.learning.device import choose_device, count_devices
from reperfuse.learning.training import train
from reperfuse.learning.weights import load_encoder
from reperfuse.networks.classifier import EncoderClassifier
from reperfuse.studies.outcome.embedding import network_input
from reperfuse.studies.shown import Shown

Array = np.ndarray
VARIANT = "backbone=finetuned"
# Steps between checkpoints.
EVERY = 50


@dataclass(frozen=True)
class Tuned:
    """What one fold's training leaves.

    Parameters
    ----------
    predictions : list of Prediction
        Of the fold that was held out.
    model : bytes
        safetensors of what was trained.
    facts : dict
        Mean loss of each epoch, the audit's row, what the weights are that it began from.
    """

    predictions: list[Prediction]
    model: bytes
    facts: dict[str, Any]


@dataclass
class FineTuning:
    """See `reperfuse.learning.training.Task`.

    Parameters
    ----------
    module : EncoderClassifier
    images : ndarray of float32
        (n, d, h, w)
    labels : ndarray
        (n) 0 or 1.
    lr : float
        Adam's rate.
    batch : int
        Most volumes in one step.
    seed : int
        Of the order.
    """

    module: EncoderClassifier
    images: Array
    labels: Array
    lr: float
    batch: int
    seed: int

    def optimiser(self) -> tuple[torch.optim.Optimizer, None]:
        """Return Adam on what is not frozen."""
        return torch.optim.Adam(
            [one for one in self.module.parameters() if one.requires_grad], lr=self.lr
        ), None

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield volumes (b, 1, d, h, w) and labels (b) in an order of the epoch's own."""
        order = np.random.default_rng(seed_of(self.seed, epoch)).permutation(len(self.labels))
        for start in range(0, len(order), self.batch):
            rows = np.sort(order[start : start + self.batch])
            labels = torch.from_numpy(self.labels[rows].astype(np.float32))
            yield torch.from_numpy(self.images[rows])[:, None], labels

    def loss(self, module: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean logistic loss, classes unweighted, so that probabilities need no other scale."""
        x, y = batch
        return nn.functional.binary_cross_entropy_with_logits(module(x), y)


def cases_of(predictions: Iterable[Prediction], target: str) -> dict[str, tuple[int, int]]:
    """Return participant_id → fold and label of whoever takes part in the first repeat."""
    return {
        one.participant_id: (one.fold, one.y_true)
        for one in predictions
        if (one.target, one.split, one.repeat) == (target, "cv", 1)
        and one.fold is not None
        and one.y_true is not None
    }


def finetune(
    cases: Mapping[str, tuple[int, int]],
    shown: Shown,
    groups: Mapping[str, str],
    *,
    visit: str,
    fold: int,
    target: str,
    session_id: str,
    salt: str,
    epochs: int,
    lr: float,
    batch: int,
    unfreeze: Any,
    clip_norm: float,
    ema_decay: float,
    precision: Any,
    variant: Any,
    weights: Path | None,
    sha256: str,
    allow_random_weights: bool,
    seed: int,
    shape: tuple[int, int, int],
    clip: float,
    background: Any,
    device: Any,
    devices: int,
    state: Path,
) -> Tuned | None:
    """Train encoder and linear classifier on all folds but one and predict that one.

    Parameters
    ----------
    cases : mapping
        From `cases_of`.
    shown : mapping
        participant_id → visit → ``adc`` and ``brain`` → path.
    groups : mapping
        participant_id → group that must not be on both sides.
    visit, fold : str, int
        The image, and the fold that is held out.
    target, session_id : str
        For the table.
    salt : str
        The seed depends on it, the visit and the fold.
    epochs, clip_norm, ema_decay, precision, devices, state
        See `reperfuse.learning.training.train`; ``state`` is its folder, ``devices`` are GPUs.
    lr, batch
        See `FineTuning`.
    unfreeze : {"layer4", "all"}
        See `reperfuse.networks.classifier.EncoderClassifier`.
    variant, weights, sha256, allow_random_weights, seed, shape, clip, background, device
        See `reperfuse.studies.outcome.embedding.adc_vectors`.

    Returns
    -------
    Tuned or None
        None where the fold is empty or the others hold patients of one class.

    Raises
    ------
    Leakage
        A patient, or one of the same group, is on both sides.
    Refusal
        E170: the loss became infinite; E171: memory does not suffice; E200, E201: the weights cannot be used; E111,
        E120: an image cannot.
    """
    learnt = [one for one, (where, _) in sorted(cases.items()) if where != fold]
    held = [one for one, (where, _) in sorted(cases.items()) if where == fold]
    labels = np.array([cases[one][1] for one in learnt])
    if not held or len(set(labels.tolist())) < 2:
        return None
    configuration, audit = f"{visit}_mri[{VARIANT}]", Audit(groups)
    audit.check(configuration, "fine-tuned network", learnt, held)

    def image(who: str) -> Array:
        images = read_present(shown[who][visit])
        return network_input(images, shape=shape, clip=clip, background=background, seed=seed)

    encoder, stamp = load_encoder(
        variant, weights, sha256=sha256, allow_random=allow_random_weights, seed=seed
    )
    share, where = float(labels.mean()), choose_device(device)
    own = seed_of(salt, "finetune", visit, fold)
    module = EncoderClassifier(encoder, unfreeze, math.log(share / (1 - share)))
    task = FineTuning(module, np.stack([image(one) for one in learnt]), labels, lr, batch, own)
    history = train(
        task, epochs=epochs, seed=own, device=where, devices=count_devices(where, devices), precision=precision,
        clip_norm=clip_norm, every=EVERY, ema_decay=ema_decay, folder=state,
    )  # fmt: skip
    scores = [predict(module, image(one), where) for one in held]
    predictions = [
        Prediction(one, session_id, target, configuration, "cv", 1, fold, cases[one][1], score)
        for one, score in zip(held, scores, strict=True)
    ]
    facts = {"loss": history, "leakage": audit.rows(), "weights": {"kind": stamp.kind, "text": stamp.text}}
    return Tuned(predictions, save(module.tuned()), facts)


def predict(module: EncoderClassifier, image: Array, device: torch.device) -> float:
    """Return the probability of the positive class."""
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
    ):
        logit = module.eval()(torch.from_numpy(image)[None, None].to(device))
    return float(torch.sigmoid(logit.double())[0])
