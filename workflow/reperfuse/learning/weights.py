"""Weights of the frozen encoder: converted once, checked each time, and told apart from random ones."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from reperfuse.core.errors import Refusal
from reperfuse.core.files import read_json_or, write_bytes, write_json
from reperfuse.core.seeds import seed_of
from reperfuse.networks.resnet import Resnet50Encoder, Variant

ORIGIN = "TencentMedicalNet/"
CONVERT = "python -m reperfuse.learning.weights CHECKPOINT TARGET.safetensors"
COUNTER = "num_batches_tracked"
SEGMENTATION_HEAD = "conv_seg."


@dataclass(frozen=True)
class Stamp:
    """What the weights are, said in every output that rests on them.

    Parameters
    ----------
    kind : {"MedicalNet", "other", "random"}
        MedicalNet only where the card beside the file says so and its checksum is the file's.
    text : str
        One line for pages and tables.
    sha256 : str
        Of the file, or of the random numbers.
    """

    kind: Literal["MedicalNet", "other", "random"]
    text: str
    sha256: str


def card_path(weights: str | Path) -> Path:
    """Return where the card of a weights file is: beside it, with ``.json`` added."""
    weights = Path(weights)
    return weights.with_name(weights.name + ".json")


def convert(checkpoint: Path, target: Path, *, card: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a published checkpoint into safetensors, with a card beside it.

    Parameters
    ----------
    checkpoint : Path
        PyTorch file with ``{"state_dict": {"module.…": tensor}}`` or a plain state dict. Only tensors are read
        from it: a pickle that would run code is refused.
    target : Path
        Ends in ``.safetensors``.
    card : mapping
        Where it is from: ``repository``, ``revision``, ``filename``; kept as given.

    Returns
    -------
    dict
        The card as written: the given entries, ``source_sha256``, ``sha256``, ``n_keys``, and the ``dropped``
        tensors of MedicalNet's segmentation head.

    Raises
    ------
    Refusal
        E200 if the checkpoint is absent or holds more than tensors, E201 if they are not the encoder's.
    """
    if target.suffix != ".safetensors":
        raise _unusable(
            target, f"the name ends in {target.suffix or 'nothing'}", "a target named *.safetensors"
        )
    content = _read(checkpoint)
    found = _tensors(content, checkpoint)
    named = {key.removeprefix("module."): tensor for key, tensor in found.items()}
    dropped = sorted(key for key in named if key.startswith(SEGMENTATION_HEAD))
    state = {key: tensor.contiguous().clone() for key, tensor in named.items() if key not in dropped}
    _check(state, checkpoint)
    written = save(dict(sorted(state.items())))
    full = {
        **card,
        "source_sha256": hashlib.sha256(content).hexdigest(),
        "sha256": hashlib.sha256(written).hexdigest(),
        "n_keys": len(state),
        "dropped": dropped,
    }
    write_bytes(target, written)
    write_json(card_path(target), full)
    return full


def load_encoder(
    variant: Variant, weights: Path | None, *, sha256: str, allow_random: bool, seed: int
) -> tuple[Resnet50Encoder, Stamp]:
    """Return the encoder, frozen and in evaluation mode, and the stamp of its weights.

    Parameters
    ----------
    variant : {"medicalnet_dilated", "monai_stride32"}
        See `Resnet50Encoder`.
    weights : Path or None
        A safetensors file that `convert` wrote.
    sha256 : str
        What the file must have; empty to accept any.
    allow_random : bool
        Whether random weights may stand in where no file is configured.
    seed : int
        Of the random weights. PyTorch's own generator is neither read nor moved.

    Raises
    ------
    Refusal
        E200 if the file is absent, of another kind or has another checksum; E201 if its tensors are not the
        encoder's.
    """
    with torch.device("meta"):
        encoder = Resnet50Encoder(variant)
    if weights is None:
        if not allow_random:
            raise _unusable(None, "no file is configured", "the encoder's weights")
        state = _random_state(encoder.state_dict(), seed)
        stamp = Stamp("random", f"NOT MedicalNet: random weights, seed {seed}", _digest(state))
    else:
        content = _read(weights)
        state = _safetensors(content, weights)
        found = hashlib.sha256(content).hexdigest()
        if sha256 and found != sha256.lower():
            raise _unusable(weights, f"its sha256 is {found}", f"{sha256.lower()}, as configured")
        _check(state, weights)
        stamp = _stamp(weights, found, variant)
    # Batches that a normalisation was trained on: older checkpoints do not count them, and nothing here reads it.
    counters = [key for key in encoder.state_dict() if key.endswith(COUNTER)]
    zeros = {key: torch.zeros((), dtype=torch.long) for key in counters}
    encoder.load_state_dict({**zeros, **state}, strict=True, assign=True)
    return encoder.eval().requires_grad_(False), stamp


def _stamp(weights: Path, sha256: str, variant: Variant) -> Stamp:
    card = read_json_or(card_path(weights), {})
    card = card if isinstance(card, dict) else {}
    repository, revision = str(card.get("repository", "")), str(card.get("revision", ""))
    of_medicalnet = repository.startswith(ORIGIN) and re.fullmatch("[0-9a-f]{40}", revision) is not None
    if of_medicalnet and card.get("sha256") == sha256:
        text = f"MedicalNet: {repository} at {revision[:12]}, {card.get('filename', '')}"
        if variant != "medicalnet_dilated":
            text += "; with strides instead of the dilations that it was trained with"
        return Stamp("MedicalNet", text, sha256)
    why = "the file is not the one that its card describes" if of_medicalnet else "weights of another origin"
    return Stamp("other", f"NOT MedicalNet: {why}, sha256 {sha256[:12]}", sha256)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise _unusable(path, reason, "a file of weights") from None
    if not content:
        raise _unusable(path, "the file is empty", "a file of weights")
    return content


def _tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's tensors. What is not one is refused, never unpickled."""
    try:
        found = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except pickle.UnpicklingError:
        why = "it holds objects other than tensors"
        raise _unusable(path, why, "tensors only; the objects were not made") from None
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        why = f"PyTorch cannot read it: {_first_line(error)}"
        raise _unusable(path, why, "a PyTorch checkpoint") from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise _unusable(path, f"it holds a {type(found).__name__} of other things", "named tensors")
    return {str(key): value for key, value in found.items()}


def _safetensors(content: bytes, path: Path) -> dict[str, Tensor]:
    if path.suffix.lower() != ".safetensors":
        what = f"a {path.suffix or 'nameless'} file is not read"
        raise _unusable(path, what, f"safetensors; convert it with `{CONVERT}`")
    try:
        found: dict[str, Tensor] = load(content)
    except (SafetensorError, json.JSONDecodeError, KeyError, ValueError, RuntimeError) as error:
        raise _unusable(
            path, f"its content is not safetensors: {_first_line(error)}", "safetensors"
        ) from None
    return found


def _check(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not exactly the encoder's, but for its unused counters."""
    with torch.device("meta"):
        expected = Resnet50Encoder("medicalnet_dilated").state_dict()
    missing = [key for key in expected if key not in state and not key.endswith(COUNTER)]
    unexpected = [key for key in state if key not in expected]
    wrong = [
        f"{key} is {_shape(state[key])} instead of {_shape(expected[key])}"
        for key in expected
        if key in state and _shape(state[key]) != _shape(expected[key])
    ]
    faulty = [key for key, tensor in state.items() if not tensor.isfinite().all()]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": wrong, "not finite": faulty}
    found = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in kinds.items()
        if keys
    ]
    if found:
        raise Refusal("E201", path.name, found="; ".join(found), n_keys=len(expected))


def _shape(tensor: Tensor) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{kind} {'×'.join(map(str, tensor.shape)) or 'scalar'}"


def _random_state(expected: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return weights as MedicalNet starts with: He normal by fan-out, normalisations the identity.

    Each tensor has a seed of its own name, so that it does not depend on the order of layers.
    """
    state: dict[str, Tensor] = {}
    for key, tensor in expected.items():
        if tensor.ndim == 5:
            fan_out = tensor.shape[0] * int(np.prod(tensor.shape[2:]))
            draws = np.random.default_rng(seed_of(seed, "encoder", key)).standard_normal(
                tuple(tensor.shape), dtype=np.float32
            )
            state[key] = torch.from_numpy(draws * np.float32(np.sqrt(2.0 / fan_out)))
        elif key.endswith(COUNTER):
            state[key] = torch.zeros((), dtype=torch.long)
        else:
            ones = key.endswith(("weight", "running_var"))
            state[key] = torch.full(tuple(tensor.shape), float(ones))
    return state


def _digest(state: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for key in sorted(state):
        found.update(key.encode())
        found.update(state[key].numpy().tobytes())
    return found.hexdigest()


def _first_line(error: Exception) -> str:
    # Messages of PyTorch name the line of C++ and advise to turn the safeguard off; neither helps here.
    return (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(". ")


def _unusable(path: Path | None, why: str, expected: str) -> Refusal:
    return Refusal("E200", path.name if path else "", why=why, needed=expected)


def main(arguments: list[str] | None = None) -> int:
    """Convert a checkpoint that is already here; its origin stays unknown."""
    parser = argparse.ArgumentParser(prog="python -m reperfuse.learning.weights", description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    try:
        card = convert(options.checkpoint, options.target, card={"filename": options.checkpoint.name})
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 1
    print(f"{card['n_keys']} tensors, sha256 {card['sha256']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
