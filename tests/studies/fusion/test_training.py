"""What a network is shown while it learns, and what is made small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from reperfuse.learning.generators import seed_all
from reperfuse.studies.fusion.training import Network, Reconstructing, squared_error
from tests.studies.fusion.made_cohort import brain, section

SHAPE = (6, 6, 8)
MASK = brain(SHAPE)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(0.5))
        self.asked: Any = None

    def forward(self, images: torch.Tensor, available: torch.Tensor | None = None) -> torch.Tensor:
        self.asked = available
        return self.by * images


def task(n: int = 10, there: Any = None, **training: Any) -> Reconstructing:
    settings = section()["training"] | {"epochs": 2, "batch": 4, "lr": 0.001} | training
    images = np.random.default_rng(0).random((n, 2, *SHAPE)).astype(np.float16) * MASK
    images[:, 0, 0, 0, 0] = np.arange(n) / 100  # outside the mask: whose image it is
    there = np.ones((n, 2), dtype=bool) if there is None else there
    return Reconstructing(Scale(), images, there, MASK, settings, (4, 4, 4), 1)


def drawn(one: Reconstructing, epoch: int = 0) -> list[dict[str, torch.Tensor]]:
    seed_all(epoch)
    return list(one.batches(epoch))


def test_everybody_is_seen_once_in_an_epoch_in_an_order_of_its_own() -> None:
    orders = []
    for epoch in (0, 0, 1):
        batches = drawn(task(), epoch)
        assert [len(one["images"]) for one in batches] == [4, 3, 3]
        orders.append(torch.cat([one["images"][:, 0, 0, 0, 0] for one in batches]).mul(100).round().tolist())
        assert sorted(orders[-1]) == list(range(10))
    assert orders[0] == orders[1] != orders[2]


def test_the_rate_falls_by_steps_to_the_floor() -> None:
    optimiser, schedule = task(lr=0.1, decay=0.1, decay_every=2, floor=0.001).optimiser()
    rates = []
    for _ in range(8):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.001, 0.001])


def test_the_mask_goes_with_the_image_when_it_is_mirrored_and_shifted() -> None:
    found = drawn(task(60, flip=True, shift_mm=9))
    moved = 0
    for batch in found:
        for image, mask in zip(batch["images"], batch["mask"], strict=True):
            moved += int(not torch.equal(mask, torch.from_numpy(MASK)))
            assert (
                float(image[1][~mask].abs().sum()) == 0 and float((image[1][mask] > 0).float().mean()) > 0.9
            )
            assert mask.sum() <= MASK.sum()
    assert moved > 40


def test_hidden_contrasts_are_drawn_as_often_as_asked_and_one_stays() -> None:
    there = np.ones((4000, 2), dtype=bool)
    there[:1000, 1] = False
    asked = task(1, contrast_dropout=0.3)
    torch.manual_seed(1)
    seen = asked._seen(torch.from_numpy(there))
    assert bool(seen.any(dim=1).all()) and not bool((seen & ~torch.from_numpy(there)).any())
    assert bool(seen[:1000, 0].all())  # who has one contrast keeps it
    assert float((~seen[1000:]).float().mean()) == pytest.approx(0.3 - 0.3**2 / 2, abs=0.02)


def test_what_is_hidden_is_still_to_be_reconstructed_and_what_is_missing_is_not() -> None:
    there = np.array([[True, False], [True, True]])
    one = task(2, there)
    batch = next(iter(one.batches(0)))
    batch["images"][~batch["there"]] = 1e6  # nobody looks at it
    found = batch["images"] * 0.5
    expected = []
    for i in range(2):
        of = [
            float(((0.5 * batch["images"][i, m][batch["mask"][i]]) ** 2).mean())
            for m in range(2)
            if batch["there"][i, m]
        ]
        expected.append(np.mean(of))
    assert float(squared_error(found, batch)) == pytest.approx(np.mean(expected), rel=1e-4)
    with torch.no_grad():
        one.loss(one.module, batch)
    assert one.module.asked is None  # without dropout the network is not told
    other = task(2, there, contrast_dropout=0.5)
    other.loss(other.module, next(iter(other.batches(0))))
    assert other.module.asked is not None


def test_a_patient_is_encoded_alone_and_left_as_it_was() -> None:
    class Codes(nn.Module):
        def encode(self, images: torch.Tensor, available: Any) -> tuple[torch.Tensor, list]:
            return images.sum(dim=(2, 3, 4)), [available]

        def decode(self, codes: torch.Tensor, skips: list, shape: tuple[int, ...]) -> torch.Tensor:
            return codes.view(1, -1, 1, 1, 1).expand(1, codes.shape[1], *shape)

    image = np.ones((2, *SHAPE), dtype=np.float16)
    network = Network(Codes(), partial=True, device="cpu")
    code, skips = network.encode(image, np.array([True, False]))
    assert code.tolist() == [288, 288] and skips[0].tolist() == [[True, False]]
    assert network.decode(code, skips, SHAPE).shape == (2, *SHAPE)
    assert Network(Codes(), partial=False, device="cpu").encode(image, np.array([True, True]))[1] == [None]
