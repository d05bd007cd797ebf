"""How groups of patients are summarised: what is averaged, what is counted, and how far two groups differ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reperfuse.cohort.variables import STANDARD


def counted(variable: str, known: Sequence[float | str]) -> bool:
    """Whether a variable is counted per level rather than averaged."""
    if variable in STANDARD:
        return STANDARD[variable].kind in ("flag", "level", "text")
    return bool(known) and (any(isinstance(v, str) for v in known) or set(known) <= {0.0, 1.0})


def levels_of(variable: str, known: Sequence[float | str]) -> list[float | str]:
    """Return the levels that get rows: 1 of a flag, all present ones otherwise, in their standard order."""
    if all(isinstance(v, float | int) for v in known) and set(known) <= {0.0, 1.0}:
        return [1.0] if known else []
    order = list(STANDARD[variable].levels) if variable in STANDARD else []
    return sorted(set(known), key=lambda v: (order.index(str(v)) if str(v) in order else len(order), str(v)))


def share(count: int, n: int) -> str | None:
    """Return ``count (percent)``, or None where there is nobody."""
    return f"{count} ({100 * count / n:.0f} %)" if n else None


def mean_sd(values: Sequence[float]) -> str | None:
    """Return ``mean (SD)``, without the SD of a single value, or None where there is none."""
    if not values:
        return None
    return f"{np.mean(values):.1f}" + (f" ({np.std(values, ddof=1):.1f})" if len(values) > 1 else "")


def smd(with_j1: Sequence[float], without_j1: Sequence[float], *, ddof: int) -> float | None:
    """Return the standardised mean difference, with J1 minus without.

    In units of the root of the mean of both variances (Austin 2009, doi 10.1002/sim.3697).

    Parameters
    ----------
    with_j1, without_j1 : sequence of float
    ddof : {0, 1}
        1 for numbers; 0 for 0 and 1, whose variance is then p(1 − p).

    Returns
    -------
    float or None
        None where a group has no value or neither has a spread.
    """
    a, b = np.asarray(with_j1), np.asarray(without_j1)
    if min(len(a), len(b)) <= ddof:
        return None
    spread = math.sqrt((a.var(ddof=ddof) + b.var(ddof=ddof)) / 2)
    return float((a.mean() - b.mean()) / spread) if spread > 0 else None
