from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet121, resnet18
from monai.visualize import GradCAM
from torch import nn

from reperfuse.learning.gradcam import randomised, raw_maps


class Small(nn.Module):
    """Two convolutions, a norm that looks at the batch while it trains, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(2, 6, 3, 2, 1), nn.BatchNorm3d(6), nn.ReLU(inplace=True))
        self.body = nn.Conv3d(6, 8, 3, 1, 1)
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(torch.tanh(self.body(self.stem(x)))).flatten(1))


@pytest.fixture
def small() -> Small:
    torch.manual_seed(4)
    made = Small()
    made(torch.randn(4, 2, 8, 12, 10))  # running statistics that are not 0 and 1
    return made


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, 2, 8, 12, 10)).astype(np.float32)


def by_hand(module: Small, image: np.ndarray, index: int) -> np.ndarray:
    """Return a map from the formula alone: mean gradient of each feature, weighted sum, ReLU."""
    module.eval()
    features = module.body(module.stem(torch.from_numpy(image)[None]))
    score = module.head(module.pool(torch.tanh(features)).flatten(1))[0, index]
    (gradient,) = torch.autograd.grad(score, features)
    found = (gradient.mean(dim=(2, 3, 4), keepdim=True) * features).sum(1)[0]
    return found.clamp(min=0).detach().numpy()


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("index", [0, 1])
def test_maps_are_those_of_the_formula(small: Small, images: np.ndarray, index: int) -> None:
    found = raw_maps(small, images, "body", class_index=index, device="cpu")
    assert found.shape == (3, 4, 6, 5) and found.dtype == np.float32
    for mine, image in zip(found, images, strict=True):
        expected = by_hand(small, image, index)
        np.testing.assert_allclose(mine, expected, atol=1e-6)
        assert expected.any() and agreement(mine, expected) == pytest.approx(1)


def test_monai_turns_maps_upside_down(small: Small, images: np.ndarray) -> None:
    """Why the default post-processing is not used."""
    mine = raw_maps(small, images[:1], "body", class_index=1, device="cpu")[0]
    theirs = GradCAM(small.eval(), "body", upsampler=lambda size: nn.Identity())
    shown = theirs(torch.from_numpy(images[:1]), class_idx=1)[0, 0].detach().numpy()
    assert agreement(mine, shown) == pytest.approx(-1)


def test_the_network_is_left_as_it_was(small: Small, images: np.ndarray) -> None:
    small.train()
    for one in small.parameters():
        one.requires_grad_(False)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    raw_maps(small, images, "body", class_index=1, device="cpu")
    assert small.training and small.stem[2].inplace
    assert all(one.grad is None and not one.requires_grad for one in small.parameters())
    assert not any(one._forward_hooks or one._backward_hooks for one in small.modules())
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())


def test_a_batch_changes_nobodys_map(small: Small, images: np.ndarray) -> None:
    small.train()
    together = raw_maps(small, images, "body", class_index=1, device="cpu")
    alone = [raw_maps(small, one[None], "body", class_index=1, device="cpu")[0] for one in images]
    np.testing.assert_array_equal(together, np.stack(alone))


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (lambda: resnet18(spatial_dims=3, n_input_channels=1, num_classes=2), "layer3"),
        (lambda: DenseNet121(spatial_dims=3, in_channels=1, out_channels=2), "features.denseblock3"),
        # What comes after it overwrites its output.
        (lambda: DenseNet121(spatial_dims=3, in_channels=1, out_channels=2), "features.norm5"),
    ],
)
def test_other_networks_have_maps(network, layer: str) -> None:
    torch.manual_seed(0)
    image = np.random.default_rng(0).standard_normal((1, 1, 32, 48, 48)).astype(np.float16)
    found = raw_maps(network(), image, layer, class_index=1, device="cpu")
    assert found.ndim == 4 and np.isfinite(found).all() and found.min() >= 0


def test_an_unknown_layer_is_refused(small: Small, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no layer 's4'"):
        raw_maps(small, images, "s4", class_index=1, device="cpu")


def test_layers_become_random_from_the_last_to_the_first(small: Small) -> None:
    before = {name: value.clone() for name, value in small.named_parameters()}
    changed = []
    for name, made in randomised(small, seed=7):
        other = {
            key.partition(".")[0] for key, value in made.named_parameters() if (value != before[key]).any()
        }
        changed.append((name, other))
        for key, value in made.named_parameters():
            torch.testing.assert_close(value.flatten().sort()[0], before[key].flatten().sort()[0])
    assert [name for name, _ in changed] == ["head", "body", "stem"]
    assert [other for _, other in changed] == [{"head"}, {"head", "body"}, {"head", "body", "stem"}]
    assert all(torch.equal(before[name], value) for name, value in small.named_parameters())


def test_of_a_module_around_a_network_the_layers_of_the_network_are_meant(small: Small) -> None:
    around = torch.nn.Sequential(small)
    assert [name for name, _ in randomised(around, seed=7)] == ["head", "body", "stem"]


def test_the_same_seed_shuffles_in_the_same_way(small: Small) -> None:
    def last(seed: int) -> torch.Tensor:
        return next(iter(randomised(small, seed=seed)))[1].head.weight

    assert torch.equal(last(1), last(1)) and not torch.equal(last(1), last(2))
