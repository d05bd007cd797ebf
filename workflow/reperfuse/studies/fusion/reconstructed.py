"""How well models reconstruct: the errors of patients, and the measures of one fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

Cell = tuple[str, str, int]
ALL = "all"
OWN, SHUFFLED, MEAN_CODE = "own", "shuffled", "mean_code"
# Below this contrast-to-noise ratio an original tells no tissues apart, so that nothing of it can be lost.
LEAST_CNR = 0.1


@dataclass(frozen=True)
class Error:
    """How well one contrast of one patient is reconstructed by one model.

    Parameters
    ----------
    participant_id, session_id, configuration : str
    fold : int
        The fold that the model was not fitted on; 0 for a model of everybody.
    held_out : bool
    target : str
        The contrast, or ``all`` for the mean over contrasts.
    code : {"own", "shuffled", "mean_code"}
        What was decoded: the patient's embedding, another held-out patient's, or the mean of those fitted on.
    mse, mse_mean : float
        Of the reconstruction, and of the mean image of those fitted on, on the same voxels.
    norm_diff : float or None
        Σ|x − x̂| / Σ|x|.
    cnr_original, cnr_reconstructed : float or None
        |μ₁ − μ₂| / √(σ₁² + σ₂²) of two tissues.
    cnr_of : str
        Which two.
    """

    participant_id: str
    session_id: str
    configuration: str
    fold: int
    held_out: bool
    target: str
    code: str
    mse: float
    mse_mean: float
    norm_diff: float | None
    cnr_original: float | None
    cnr_reconstructed: float | None
    cnr_of: str

    @classmethod
    def of(cls, row: Mapping[str, str]) -> Error:
        """Return a row of ``reconstruction.tsv``."""
        norm_diff, original, reconstructed = (
            _float(row.get(name)) for name in ("norm_diff", "cnr_original", "cnr_reconstructed")
        )
        return cls(
            row["participant_id"], row["session_id"], row["configuration"], int(row["fold"]),
            row["held_out"] == "1", row["contrast"], row["code"], float(row["mse"]), float(row["mse_mean"]),
            norm_diff, original, reconstructed, row.get("cnr_of", ""),
        )  # fmt: skip

    @property
    def cnr(self) -> tuple[float, float] | None:
        """CNR of original and reconstruction, None where the original tells nothing apart."""
        before, after = self.cnr_original, self.cnr_reconstructed
        return None if before is None or after is None or before < LEAST_CNR else (before, after)


def _float(text: str | None) -> float | None:
    return float(text) if text else None


def errors(rows: Iterable[Mapping[str, str]]) -> list[Error]:
    """Return the rows of ``reconstruction.tsv``, and of each patient and code the mean over contrasts as ``all``."""
    single = [Error.of(row) for row in rows]
    groups: dict[tuple[Any, ...], list[Error]] = {}
    for one in single:
        groups.setdefault(
            (one.configuration, one.fold, one.held_out, one.participant_id, one.code), []
        ).append(one)
    return single + [_mean(mine) for mine in groups.values()]


def _mean(mine: Sequence[Error]) -> Error:
    known = [one.cnr for one in mine if one.cnr]
    parts = [one.norm_diff for one in mine if one.norm_diff is not None]
    return replace(
        mine[0],
        target=ALL,
        mse=fmean(one.mse for one in mine),
        mse_mean=fmean(one.mse_mean for one in mine),
        norm_diff=fmean(parts) if parts else None,
        cnr_original=fmean(before for before, _ in known) if known else None,
        cnr_reconstructed=fmean(after for _, after in known) if known else None,
        cnr_of="",
    )


def explained(mine: Sequence[Error]) -> float | None:
    """Return R² over the mean image: 1 − Σ MSE / Σ MSE of the mean image, over patients."""
    chance = sum(one.mse_mean for one in mine)
    return 1 - sum(one.mse for one in mine) / chance if chance > 0 else None


def of_fold(mine: Sequence[Error]) -> dict[str, float | None]:
    """Return every measure of one configuration, target and fold; None where it cannot be had.

    Parameters
    ----------
    mine : sequence of Error
        Of one model and target: patients held out and fitted on, with all codes.

    Notes
    -----
    ``r2`` and ``cnr_change`` are ratios of sums over patients, since ratios of single patients have no mean to rely
    on where the denominator is small. ``shuffled_ratio`` is the error from another patient's embedding over that
    from one's own: near 1, the embedding says nothing of the patient. ``mean_code_cnr_change`` is the change of CNR
    in what the mean embedding gives, which holds nobody: averaging alone raises CNR.
    """
    held = [one for one in mine if one.held_out and one.code == OWN]
    trained = [one.mse for one in mine if not one.held_out and one.code == OWN]
    mse = fmean(one.mse for one in held)
    parts = [one.norm_diff for one in held if one.norm_diff is not None]
    return {
        "mse": mse,
        "r2": explained(held),
        "norm_diff": fmean(parts) if parts else None,
        "cnr_change": _cnr_change(held),
        "generalisation_gap": mse - fmean(trained) if trained else None,
        "shuffled_ratio": _ratio(mine, SHUFFLED, held),
        "mean_code_ratio": _ratio(mine, MEAN_CODE, held),
        "mean_code_cnr_change": _cnr_change(one for one in mine if one.held_out and one.code == MEAN_CODE),
    }


def _cnr_change(mine: Iterable[Error]) -> float | None:
    known = [one.cnr for one in mine if one.cnr]
    return sum(after for _, after in known) / sum(before for before, _ in known) - 1 if known else None


def _ratio(mine: Sequence[Error], code: str, held: Sequence[Error]) -> float | None:
    other = {one.participant_id: one.mse for one in mine if one.held_out and one.code == code}
    own = sum(one.mse for one in held if one.participant_id in other)
    return sum(other.values()) / own if own > 0 else None


def cells(found: Iterable[Error]) -> dict[Cell, list[Error]]:
    """Return the errors of each configuration, target and fold in which anybody was held out."""
    made: dict[Cell, list[Error]] = {}
    for one in found:
        if one.fold:
            made.setdefault((one.configuration, one.target, one.fold), []).append(one)
    return {key: mine for key, mine in made.items() if any(one.held_out and one.code == OWN for one in mine)}
