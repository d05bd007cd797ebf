"""The leakage audit: which patients each fitted object saw, and that it predicts for none of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from reperfuse.core.errors import ConfigError, Fault

# From when on a variable is known; `none` is for outcomes and labels, which no model may see.
MOMENTS = {"J0": 0, "J1": 1, "none": 2}


class Leakage(Exception):
    """A fitted object was to predict for patients that it, or their relatives, had been fitted on. Ends the run."""


@dataclass
class _Tally:
    n_fits: int = 0
    smallest: int = 0
    largest: int = 0


@dataclass
class Audit:
    """Collects who was seen by what.

    Parameters
    ----------
    groups : mapping
        participant_id → group (a family, or the patient): what must not be on both sides.
    """

    groups: Mapping[str, str]
    _tallies: dict[tuple[str, str], _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def check(
        self, configuration: str, thing: str, seen: Collection[str], predicted: Collection[str]
    ) -> None:
        """Note one fit and refuse an overlap.

        Parameters
        ----------
        configuration, thing : str
            What was fitted: ``J0_mri``, ``whole pipeline``.
        seen : collection of str
            Patients whose data shaped it.
        predicted : collection of str
            Patients that it is to predict for.

        Raises
        ------
        Leakage
            A patient, or a member of the same group, is on both sides (E161).
        """
        train = {self.groups.get(one, one) for one in seen}
        both = sorted({one for one in predicted if self.groups.get(one, one) in train})
        if both:
            values = {
                "object": f"{thing} of {configuration}",
                "n": len(both),
                "patients": ", ".join(both[:3]),
            }
            raise Leakage(Fault("E161", "", values, both[0]).sentence)
        tally = self._tallies[configuration, thing]
        tally.smallest = min(tally.smallest, len(seen)) if tally.n_fits else len(seen)
        tally.largest = max(tally.largest, len(seen))
        tally.n_fits += 1

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per configuration and object; the overlap is 0, or there would be no table."""
        return [
            {
                "configuration": configuration,
                "object": thing,
                "n_fits": tally.n_fits,
                "n_seen_min": tally.smallest,
                "n_seen_max": tally.largest,
                "n_overlap": 0,
            }
            for (configuration, thing), tally in sorted(self._tallies.items())
        ]


def check_known(variables: Collection[str], visit: str, available_at: Mapping[str, str], *, key: str) -> None:
    """Refuse a predictor that is not known yet at the time of the prediction.

    Parameters
    ----------
    variables : collection of str
        Names of the predictors.
    visit : {"J0", "J1"}
        When the prediction is made.
    available_at : mapping
        Variable → the visit from which on it is known; ``none`` for outcomes.
    key : str
        Where the configuration names the variables.

    Raises
    ------
    ConfigError
        One sentence that names each such variable.
    """
    late = [name for name in variables if MOMENTS[available_at.get(name, "none")] > MOMENTS[visit]]
    if late:
        found = ", ".join(f"{name} (known at {available_at.get(name, 'none')})" for name in late)
        raise ConfigError(
            f"`{key}` names what is not known at {visit}: {found}; a model of {visit} may only see variables known "
            "by then, so take them out, or correct `available_at` under `clinical: columns:`."
        )
