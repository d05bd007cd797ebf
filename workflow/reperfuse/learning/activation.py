"""Class activation maps: where in the volume a direction of the embedding comes from."""

from __future__ import annotations

import numpy as np
import torch

from reperfuse.networks.resnet import Resnet50Encoder


def activation_maps(
    encoder: Resnet50Encoder, volume: np.ndarray, directions: np.ndarray, *, device: torch.device | str
) -> np.ndarray:
    """Return, for each direction of the embedding, the map whose mean is the embedding's projection on it.

    The embedding is the mean of the features over voxels, and a projection is linear; they commute, so the map
    is exact. A linear classifier's score is the mean of its map plus its intercept (Zhou et al., CVPR 2016).

    Parameters
    ----------
    encoder : Resnet50Encoder
        In evaluation mode.
    volume : ndarray, shape (slices, rows, columns)
        From `reperfuse.imaging.model_input`.
    directions : ndarray, shape (k, 2048) or (2048,)
        Weights on the features as the encoder gives them, scaling and PCA already multiplied in.
    device : torch.device or str
        "cpu" or "cuda".

    Returns
    -------
    ndarray of float32, shape (k, d, h, w)
        Signed, not scaled; `reperfuse.imaging.model_input.to_native` brings a map to the patient's grid.
    """
    weights = np.atleast_2d(np.asarray(directions, dtype=np.float64))
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None].to(device)
        features = encoder.to(device=device).features(x)[0].cpu().numpy()
    flat = features.reshape(features.shape[0], -1).astype(np.float64)
    # In float64: positive and negative contributions of 2048 features nearly cancel.
    return (weights @ flat).reshape(len(weights), *features.shape[1:]).astype(np.float32)


def stability(maps: np.ndarray) -> float:
    """Return the mean correlation between pairs of maps, one map per fold's model.

    Parameters
    ----------
    maps : ndarray, shape (k, d, h, w)
        Of one patient.

    Returns
    -------
    float
        Pearson correlation over voxels, mean over pairs; a map without contrast correlates 0 with any other.
        NaN for fewer than two maps.
    """
    flat = np.asarray(maps, dtype=np.float64).reshape(len(maps), -1)
    if len(flat) < 2:
        return float("nan")
    centred = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())
