"""What a configuration is made of: blocks, reduction, classifier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reperfuse.studies.outcome.blocks import Reduction


@dataclass(frozen=True)
class Recipe:
    """How one configuration predicts.

    Parameters
    ----------
    blocks : tuple of str
        Names of its blocks. ``J1-J0:mri`` is the difference of two.
    visit : {"J0", "J1"}
        When the prediction is made.
    classifier : {"svm", "logistic"}
        Support vector machine with Platt's calibration, or logistic regression, which needs none.
    kernel : {"linear", "rbf"}
        Of the support vector machine.
    c : float
        Its cost; the inverse of the penalty of the logistic regression.
    reduction : Reduction
        Of blocks that are embeddings.
    order : {"pca_on_embeddings", "concat_then_pca"}
        Whether components are those of the embedding alone or of all blocks side by side.
    platt_folds : int
        Inner folds of Platt's calibration.
    """

    blocks: tuple[str, ...]
    visit: str
    classifier: str
    kernel: str
    c: float
    reduction: Reduction
    order: str
    platt_folds: int

    def with_(self, **changes: Any) -> Recipe:
        """Return a variant; ``method``, ``components`` and ``variance`` go to the reduction."""
        inner = {k: changes.pop(k) for k in ("method", "components", "variance") if k in changes}
        return replace(self, reduction=replace(self.reduction, **inner), **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return what a card keeps of it."""
        return {**vars(self), "blocks": list(self.blocks), "reduction": vars(self.reduction)}
