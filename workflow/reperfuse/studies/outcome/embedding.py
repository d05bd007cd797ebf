"""Vectors of a chunk of patients: their ADC maps through the frozen network, or their lesion masks as cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.files import is_marker, write_bytes
from reperfuse.core.provenance import code_digest, digest, file_digest
from reperfuse.core.seeds import seed_of
from reperfuse.imaging.model_input import model_input
from reperfuse.imaging.pattern import lesion_pattern
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import Volume
from reperfuse.studies.shown import Shown, ToTemplate, carried

Array = np.ndarray
LIBRARY = Path(__file__).resolve().parents[3]
# Versions of the libraries that a vector follows from; beside the library in a checkout, inside the package elsewhere.
LOCKS = (
    LIBRARY.parent / "requirements/default.txt",
    LIBRARY / "reperfuse/_workflow/requirements/default.txt",
)


def read_vectors(paths: Iterable[str | Path]) -> dict[str, dict[str, Array]]:
    """Return participant_id → visit → vector of what chunks have written; markers are passed over."""
    found: dict[str, dict[str, Array]] = {}
    for path in map(Path, paths):
        if not is_marker(path):
            for name, vector in load(path.read_bytes()).items():
                who, _, visit = name.partition("/")
                found.setdefault(who, {})[visit] = vector
    return found


def write_vectors(path: str | Path, vectors: Mapping[str, Array]) -> None:
    """Write what `read_vectors` reads."""
    write_bytes(path, save(dict(vectors)))


def adc_vectors(
    shown: Shown,
    *,
    variant: Any,
    weights: Path | None,
    sha256: str,
    allow_random_weights: bool,
    seed: int,
    shape: tuple[int, int, int],
    clip: float,
    background: Any,
    precision: Any,
    device: Any,
    cache: Path,
) -> tuple[dict[str, Array], list[Fault], dict[str, str]]:
    """Return the embedding of every ADC map, from the cache where it is there.

    Parameters
    ----------
    shown : mapping
        participant_id → visit → ``adc`` and ``brain`` → path; a visit without both is passed over.
    variant, weights, sha256, allow_random_weights, seed
        See `reperfuse.learning.weights.load_encoder`.
    shape, clip, background
        See `reperfuse.imaging.model_input.model_input`.
    precision, device
        See `reperfuse.learning.encode.encode`.
    cache : Path
        Folder of vectors by content.

    Returns
    -------
    vectors : dict
        ``sub-X/J0`` → (2048) float32.
    faults : list of Fault
        Images that could not be used.
    stamp : dict
        What the weights are: kind, text, sha256.

    Raises
    ------
    Refusal
        E200, E201: the weights cannot be used.
    """
    from reperfuse.learning.cache import get, key_of_embedding, put  # torch takes its time
    from reperfuse.learning.device import choose_device
    from reperfuse.learning.encode import encode
    from reperfuse.learning.weights import load_encoder

    encoder, stamp = load_encoder(
        variant, weights, sha256=sha256, allow_random=allow_random_weights, seed=seed
    )
    settings = {
        "code": encoding_digest(),
        "variant": variant,
        "shape": list(shape),
        "clip": clip,
        "background": background,
        "seed": seed,
    }
    vectors: dict[str, Array] = {}
    faults: list[Fault] = []
    keys: dict[str, str] = {}
    todo: list[tuple[str, str, dict[str, Path]]] = []
    for who, visit, paths in _each(shown, "adc", "brain"):
        content = digest([file_digest(path) for _, path in sorted(paths.items())])
        key = key_of_embedding(content, settings | {"precision": precision}, stamp.sha256)
        known = get(cache, key)
        if known is not None:
            vectors[f"{who}/{visit}"] = known
        else:
            keys[f"{who}/{visit}"] = key
            todo.append((who, visit, paths))
    done: list[str] = []

    def inputs() -> Iterator[Array]:
        for who, visit, paths in todo:
            images = read_present(paths)
            try:
                image = network_input(images, shape=shape, clip=clip, background=background, seed=seed)
            except Refusal as refusal:
                faults.append(refusal.fault.of(who, "", f"work/{who}/{visit}_adc.nii.gz"))
                continue
            done.append(f"{who}/{visit}")
            yield image

    found = encode(encoder, inputs(), precision=precision, device=choose_device(device))
    for name, vector in zip(done, found, strict=True):
        put(cache, keys[name], vector)
        vectors[name] = vector
    return vectors, faults, {"kind": stamp.kind, "text": stamp.text, "sha256": stamp.sha256}


def encoding_digest() -> str:
    """Return the digest of this module, all that it imports, and the lock; comments and docstrings do not count."""
    lock = [path for path in LOCKS if path.is_file()][:1]
    return code_digest(LIBRARY / "reperfuse/studies/outcome/embedding.py", LIBRARY, lock)


def network_input(
    images: Mapping[str, Volume],
    *,
    shape: tuple[int, int, int],
    clip: float,
    background: Any,
    seed: int,
) -> Array:
    """Return what the network is shown of ``adc`` inside ``brain``; the background is noise of the map's own.

    The noise follows from ``seed`` and what the map holds: what a folder is called must not change a prediction.

    Raises
    ------
    Refusal
        See `reperfuse.imaging.model_input.model_input`.
    """
    brain = images["brain"]
    mask = brain.like(brain.data > 0.5)
    values = np.ascontiguousarray(images["adc"].data, dtype="<f4")
    own = seed_of(seed, values.shape, sha256_of(values.tobytes()).hexdigest())
    return model_input(images["adc"], mask, shape=shape, clip=clip, background=background, seed=own)


def mask_vectors(
    shown: Shown,
    spaces: Mapping[str, Mapping[str, str]],
    mappers: Mapping[str, ToTemplate],
    *,
    cell_mm: float,
) -> tuple[dict[str, Array], list[Fault]]:
    """Return every lesion mask as cells of the template.

    Parameters
    ----------
    shown : mapping
        participant_id → visit → ``lesion`` → path.
    spaces : mapping
        participant_id → image → space, for masks that were given in the template.
    mappers : mapping
        participant_id → what brings a mask of a visit to the template.
    cell_mm : float
        See `reperfuse.imaging.pattern.lesion_pattern`.
    """
    vectors: dict[str, Array] = {}
    faults: list[Fault] = []
    for who, visit, paths in _each(shown, "lesion"):
        mask = read_present(paths)["lesion"]
        try:
            if f"{visit}_lesion" not in spaces.get(who, {}):
                mask = carried(mask, visit, mappers.get(who))
            vectors[f"{who}/{visit}"] = lesion_pattern(mask, cell_mm=cell_mm)
        except Refusal as refusal:
            faults.append(refusal.fault.of(who))
    return vectors, faults


def _each(shown: Shown, *names: str) -> Iterator[tuple[str, str, dict[str, Path]]]:
    """Yield patient, visit and paths where every image that has to be there could be made."""
    for who, visits in sorted(shown.items()):
        for visit, paths in sorted(visits.items()):
            if all(name in paths for name in names):
                yield who, visit, dict(paths)
