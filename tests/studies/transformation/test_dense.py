from __future__ import annotations

import numpy as np
import pytest
import torch

from reperfuse.networks.lstm import MODES, VoxelLSTM
from reperfuse.studies.transformation.dense import likelihood
from reperfuse.studies.transformation.features import interior, patches, with_aif

RNG = np.random.default_rng(4)
GRID = (11, 9, 4)
CURVES = RNG.normal(size=(*GRID, 60)).astype(np.float32)
AIF = RNG.normal(2, 3, size=60).astype(np.float32)
STATIC = RNG.normal(size=(*GRID, 21)).astype(np.float32)
WHERE = interior(RNG.random(GRID) < 0.6)


def network(mode: str, output: str = "last") -> VoxelLSTM:
    torch.manual_seed(6)
    n_inputs, n_dwi, n_clinical = MODES[mode]
    net = VoxelLSTM(
        n_inputs=n_inputs, n_dwi=n_dwi, n_clinical=n_clinical, hidden=60, output=output, n_points=60
    )
    with torch.no_grad():
        net.fc.weight *= 5  # probabilities that differ, as after training
    return net


def by_patches(net: VoxelLSTM, aif: np.ndarray | None, static: np.ndarray | None) -> np.ndarray:
    """Return the probabilities from a patch for each voxel, through PyTorch's own layer."""
    curves = patches(CURVES, np.argwhere(WHERE))
    with torch.no_grad():
        every, (last, _) = net.lstm(torch.from_numpy(curves if aif is None else with_aif(curves, aif)))
        state = every.mean(1) if net.output == "each" else last[0]
        more = [] if static is None else [torch.from_numpy(static[WHERE])]
        return net.fc(torch.cat([state, *more], dim=1)).softmax(dim=1)[:, 1].numpy()


@pytest.mark.parametrize("output", ["last", "each"])
@pytest.mark.parametrize("mode", MODES)
def test_the_map_is_that_of_patches(mode: str, output: str) -> None:
    net = network(mode, output)
    aif = AIF if net.n_inputs == 10 else None
    static = STATIC[..., : net.n_static] if net.n_static else None
    expected = by_patches(net, aif, static)
    for chunk in (10_000, 37):
        found = likelihood(net, CURVES, aif, static, WHERE, device="cpu", chunk=chunk)
        assert found.dtype == np.float32 and found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5
    assert np.ptp(expected) > 0.05


def test_static_values_may_be_given_for_the_voxels_alone() -> None:
    net = network("pwi+aif+dwi+clinical")
    dense = likelihood(net, CURVES, AIF, STATIC, WHERE, device="cpu", chunk=50)
    assert np.array_equal(dense, likelihood(net, CURVES, AIF, STATIC[WHERE], WHERE, device="cpu", chunk=50))


def test_an_empty_mask_has_no_likelihood() -> None:
    found = likelihood(network("pwi"), CURVES, None, None, np.zeros_like(WHERE), device="cpu", chunk=50)
    assert found.shape == (0,)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
def test_a_gpu_gives_the_same_map() -> None:
    net = network("pwi+aif+dwi")
    static = STATIC[..., :18]
    here = likelihood(net, CURVES, AIF, static, WHERE, device="cpu", chunk=500)
    there = likelihood(net, CURVES, AIF, static, WHERE, device="cuda", chunk=500)
    assert np.abs(here - there).max() < 1e-5


def test_what_does_not_fit_the_network_is_refused() -> None:
    net = network("pwi+aif+dwi")
    static = STATIC[..., :18]
    wrong = [
        ((CURVES[..., :50], AIF, static, WHERE), "concentration is"),
        ((CURVES, None, static, WHERE), "the AIF is None"),
        ((CURVES, AIF[:50], static, WHERE), r"the AIF is \(50,\)"),
        ((CURVES, AIF, None, WHERE), "static is None; expected 18"),
        ((CURVES, AIF, STATIC, WHERE), "expected 18 values"),
        ((CURVES, AIF, static[:4], WHERE), "static is"),
        ((CURVES, AIF, static, np.ones_like(WHERE)), "border of the grid"),
    ]
    for given, says in wrong:
        with pytest.raises(ValueError, match=says):
            likelihood(net, *given, device="cpu", chunk=50)
