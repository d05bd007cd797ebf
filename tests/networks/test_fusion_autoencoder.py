from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reperfuse.networks.fusion_autoencoder import FusionAutoencoder, code_grid, parameters_of
from reperfuse.networks.separable import n_weights

ROOT = Path(__file__).resolve().parents[2]
PAPER = (256, 256, 192)
DEFAULT: dict[str, Any] = {
    "widths": [24, 48, 96], "code": 32, "mid_flows": 1, "convolution": "separable", "norm": "group", "groups": 8,
    "dropout": 0.1, "output": "linear", "checkpointing": False,
}  # fmt: skip
SMALL = {**DEFAULT, "widths": [2, 4, 8], "code": 3, "groups": 2}


def network(contrasts: int = 2, *, skips: bool = False, **changed: Any) -> FusionAutoencoder:
    torch.manual_seed(4)
    return FusionAutoencoder(contrasts=contrasts, skips=skips, **{**SMALL, **changed})


def images(contrasts: int = 2, batch: int = 1, shape: tuple[int, ...] = (64, 64, 64)) -> Tensor:
    return torch.rand(batch, contrasts, *shape, generator=torch.Generator().manual_seed(batch))


def gradients(net: FusionAutoencoder, given: Tensor) -> list[Tensor]:
    torch.manual_seed(9)  # of dropout
    net.train().zero_grad()
    (net(given) - given).square().mean().backward()
    found = [one.grad for one in net.parameters()]
    assert all(one is not None for one in found)
    return [one for one in found if one is not None]


def test_the_defaults_of_the_configuration_are_those_tested_here() -> None:
    schema = yaml.safe_load((ROOT / "workflow/schemas/fusion.schema.yaml").read_text(encoding="utf-8"))
    assert {k: one["default"] for k, one in schema["properties"]["network"]["properties"].items()} == DEFAULT


def test_the_sizes_that_the_paper_states() -> None:
    size = parameters_of(2, PAPER, **DEFAULT)
    assert size.code_length == 1536 and size.compression == 16_384
    assert size.n_parameters == 466_450
    # Each of the 24 blocks between the fused levels is 21.07 times as large, but not what begins, ends and joins.
    assert 19 < size.ratio < 21.07
    assert parameters_of(1, (64, 64, 64), **DEFAULT).code_length == 32
    assert parameters_of(2, (128, 128, 128), **DEFAULT).compression == 16_384


def test_every_stage_has_the_size_of_the_table() -> None:
    with torch.device("meta"):
        net = FusionAutoencoder(contrasts=2, skips=True, **DEFAULT)
        given = torch.empty(1, 2, *PAPER)
        codes, skips = net.encode(given, None)
        assert codes.shape == (1, 1536)
        assert [tuple(one.shape) for one in skips] == [
            (1, 96, 64 // n, 64 // n, 48 // n) for n in (1, 2, 4, 8)
        ]
        assert net.decode(codes, skips, PAPER).shape == (1, 2, *PAPER)
        assert net.encoders[0][:3](given[:, :1]).shape == (1, 24, 128, 128, 96)  # type: ignore[index]


@given(
    contrasts=st.integers(1, 4), places=st.tuples(*[st.integers(1, 3)] * 3), code=st.integers(1, 40),
    skips=st.booleans(),
)  # fmt: skip
@settings(max_examples=8, deadline=None)
def test_any_contrasts_and_any_multiple_of_64(
    contrasts: int, places: tuple[int, int, int], code: int, skips: bool
) -> None:
    shape = [64 * n for n in places]
    with torch.device("meta"):
        net = FusionAutoencoder(contrasts=contrasts, skips=skips, **{**SMALL, "code": code})
        codes, kept = net.encode(
            torch.empty(2, contrasts, *shape), torch.ones(2, contrasts, dtype=torch.bool)
        )
        assert codes.shape == (2, code * places[0] * places[1] * places[2]) == (2, net.code_length(shape))
        assert len(kept) == 4 * skips
        assert net.decode(codes, kept, shape).shape == (2, contrasts, *shape)
    assert code_grid(shape) == places


@pytest.mark.parametrize(("norm", "skips"), [("group", False), ("none", True)])
def test_a_batch_of_one_trains_where_the_embedding_has_one_place(norm: str, skips: bool) -> None:
    net, given = network(norm=norm, skips=skips), images()
    net.train()
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    losses = []
    for _ in range(3):
        loss = (net(given) - given).square().mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_batch_normalisation_trains_with_a_batch() -> None:
    assert all(torch.isfinite(one).all() for one in gradients(network(norm="batch"), images(batch=2)))


def test_the_embedding_is_all_that_the_decoder_is_told_without_skips() -> None:
    with torch.no_grad():
        for skips in (False, True):
            net, (one, two) = network(skips=skips).eval(), (images(batch=2)[:1], images(batch=2)[1:])
            codes, kept = net.encode(one, None)
            other, _ = net.encode(two, None)
            assert torch.equal(net.decode(codes, kept, (64, 64, 64)), net(one))
            assert (not kept) is not skips
            # With another's embedding and the patient's own skips something of the patient is left.
            mixed = net.decode(other, kept, (64, 64, 64))
            assert torch.equal(mixed, net(two)) is not skips


def test_what_is_hidden_does_not_matter_and_what_is_shown_does() -> None:
    net, given = network().eval(), images()
    shown = torch.tensor([[True, False]])
    changed = given.clone()
    changed[:, 1] += 1
    with torch.no_grad():
        net.absent.normal_()
        assert torch.equal(net(given, shown), net(changed, shown))
        assert not torch.equal(net(given), net(changed))
        assert torch.equal(net(given, torch.tensor([[True, True]])), net(given))
        assert not torch.equal(net(given, shown), net(given))
    net.train()
    net(given, shown).square().mean().backward()
    assert net.absent.grad is not None
    assert net.absent.grad[1].abs().sum() > 0 and net.absent.grad[0].abs().sum() == 0


def test_checkpointing_changes_no_gradient() -> None:
    given = images()
    kept = gradients(network(skips=True, dropout=0.3), given)
    again = gradients(network(skips=True, dropout=0.3, checkpointing=True), given)
    assert all(torch.equal(one, two) for one, two in zip(kept, again, strict=True))


def test_the_output_is_between_0_and_1_only_if_asked() -> None:
    given = 40 * images()
    with torch.no_grad():
        net = network(output="sigmoid").eval()
        net.heads[0][-1].layers[-1].bias.fill_(3)  # type: ignore[index, union-attr, operator]
        out = net(given)
    assert out.min() >= 0 and out.max() <= 1 and out[:, 0].mean() > 0.9


def test_standard_convolutions_are_as_many_as_counted() -> None:
    size = parameters_of(3, PAPER, **SMALL)
    assert size.standard_equivalent == n_weights(network(3, convolution="standard")) > size.n_parameters
    assert size.n_parameters == n_weights(network(3)) == n_weights(network(3, skips=True))
    assert parameters_of(3, PAPER, **{**SMALL, "convolution": "standard"}).ratio == 1


@pytest.mark.parametrize("shape", [(64, 64, 65), (64, 64, 32), (0, 64, 64), (64, 64)])
def test_sizes_that_cannot_be_halved_six_times_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images are .*; expected three multiples of 64$"):
        network().code_length(shape)
    if len(shape) == 3:
        with pytest.raises(ValueError, match="expected three multiples of 64"):
            network()(torch.zeros(1, 2, *shape))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"norm": "layer"}, "norm is 'layer'; expected one of group, batch, none"),
        ({"convolution": "dense"}, "convolution is 'dense'; expected one of separable, standard"),
        ({"output": "tanh"}, "output is 'tanh'; expected one of linear, sigmoid"),
        ({"widths": [2, 4]}, "widths has 2 values; expected 3"),
    ],
)
def test_unknown_settings_are_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        network(**changed)


def test_the_wrong_number_of_contrasts_is_refused() -> None:
    with pytest.raises(ValueError, match="images have 3 contrasts; expected 2"):
        network()(images(3))
