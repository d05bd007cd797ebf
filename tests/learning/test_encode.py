from __future__ import annotations

import numpy as np
import pytest
import torch

from reperfuse.learning.encode import encode


def test_embeddings_are_those_of_the_network_one_by_one(encoder, volumes) -> None:
    found = encode(encoder, iter(volumes), precision="fp32", device="cpu")
    assert found.shape == (3, 2048)
    assert found.dtype == np.float32
    with torch.inference_mode():
        expected = encoder(torch.from_numpy(volumes[1])[None, None])[0].numpy()
    np.testing.assert_array_equal(found[1], expected)
    alone = encode(encoder, volumes[1:2], precision="fp32", device="cpu")
    np.testing.assert_array_equal(alone[0], found[1])


def test_the_fast_form_is_the_same_to_a_fraction_of_what_patients_differ_by(encoder, volumes) -> None:
    expected = encode(encoder, volumes, precision="fp32", device="cpu")
    found = encode(encoder, volumes, precision="fast", device="cpu")
    spread = expected.std(axis=0, ddof=1)
    alive = spread > 0
    assert alive.mean() > 0.95
    assert (np.abs(found - expected).max(axis=0)[alive] / spread[alive]).max() < 0.005
    np.testing.assert_array_equal(found, encode(encoder, volumes, precision="fast", device="cpu"))
    np.testing.assert_array_equal(expected, encode(encoder, volumes, precision="fp32", device="cpu"))


def test_no_volume_gives_no_vector(encoder) -> None:
    assert encode(encoder, [], precision="fp32", device="cpu").shape == (0, 2048)


def test_what_cannot_be_encoded_is_said(encoder, volumes) -> None:
    with pytest.raises(ValueError, match="expected fp32 or fast"):
        encode(encoder, volumes, precision="bf16", device="cpu")
    with pytest.raises(FloatingPointError, match="volume 1 "):
        encode(encoder, [np.full((16, 32, 32), np.nan)], precision="fp32", device="cpu")
    encoder.train()
    try:
        with pytest.raises(ValueError, match=r"eval\(\)"):
            encode(encoder, volumes, precision="fp32", device="cpu")
    finally:
        encoder.eval()
