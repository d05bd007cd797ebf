"""An encoder with a linear classifier on its embedding, to be trained together."""

from __future__ import annotations

from typing import Literal, Self, get_args

from torch import Tensor, nn

from reperfuse.networks.resnet import N_FEATURES, Resnet50Encoder

Unfreeze = Literal["layer4", "all"]


class EncoderClassifier(nn.Module):
    """A 3-D ResNet-50 and a linear layer that gives the logit of one class.

    Batch normalisations keep the statistics that they came with, since batches of a few volumes have none of their
    own; their scales are trained with the stage that they belong to. The linear layer begins at zero.

    Parameters
    ----------
    encoder : Resnet50Encoder
    unfreeze : {"layer4", "all"}
        What is trained beside the linear layer: the encoder's last stage, or all of it.
    bias : float
        Of the linear layer when it begins: the log odds of the class.
    """

    def __init__(self, encoder: Resnet50Encoder, unfreeze: Unfreeze, bias: float) -> None:
        super().__init__()
        if unfreeze not in get_args(Unfreeze):
            raise ValueError(f"unfreeze is {unfreeze!r}; expected one of {', '.join(get_args(Unfreeze))}")
        self.encoder = encoder.requires_grad_(unfreeze == "all")
        self.encoder.layer4.requires_grad_(True)
        self.head = nn.Linear(N_FEATURES, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, bias)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the encoder's normalisations stay as in evaluation."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (N,), for (N, 1, D, H, W)."""
        out: Tensor = self.head(self.encoder(x))[:, 0]
        return out

    def tuned(self) -> dict[str, Tensor]:
        """Return what training may have changed, by name."""
        return {name: one.detach().cpu() for name, one in self.named_parameters() if one.requires_grad}
