from __future__ import annotations

import torch

from reperfuse.studies.transformation.batches import Voxels, in_order, shuffled


def voxels(n: int = 23, *, everything: bool = True) -> Voxels:
    generator = torch.Generator().manual_seed(1)
    curves = torch.randn(n, 6, 9, generator=generator)
    patient, labels = torch.arange(n) % 3, torch.arange(n) % 2
    if not everything:
        return Voxels(curves, labels, patient)
    more = (torch.randn(3, 6), torch.randn(n, 18), torch.randn(3, 3))
    return Voxels(curves, labels, patient, *more)


def test_a_batch_holds_what_belongs_together() -> None:
    known = voxels()
    seen = []
    for curves, static, labels in shuffled(known, 4, batch=5, seed=7):
        assert curves.shape[1:] == (6, 10) and static.shape[1] == 21
        for curve, values, label in zip(curves, static, labels, strict=True):
            row = int((known.curves == curve[:, :9]).all(dim=(1, 2)).nonzero())
            assert torch.equal(curve[:, 9], known.aif[row % 3])
            assert torch.equal(values, torch.cat([known.dwi[row], known.clinical[row % 3]]))
            assert label == row % 2
            seen.append(row)
    assert sorted(seen) == list(range(23)) and seen != sorted(seen)


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    known = voxels(everything=False)

    def order(epoch: int, seed: int) -> list[float]:
        return [float(c[0, 0]) for curves, *_ in shuffled(known, epoch, batch=8, seed=seed) for c in curves]

    torch.manual_seed(1)
    first = order(0, 3)
    torch.rand(5)
    assert order(0, 3) == first
    assert order(1, 3) != first != order(0, 4)


def test_prediction_sees_the_order_in_which_voxels_are() -> None:
    known = voxels(everything=False)
    found = list(in_order(known, batch=10))
    assert [len(labels) for *_, labels in found] == [10, 10, 3]
    assert torch.equal(torch.cat([curves for curves, *_ in found]), known.curves)
    assert all(static.shape == (len(labels), 0) for _, static, labels in found)
