"""Published bedside scores, as comparators that need no image and no fitting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

ClinicalRow = Mapping[str, float | str | None]


def _numbers(row: ClinicalRow, names: tuple[str, ...]) -> tuple[float, ...] | None:
    """Return the items as numbers, or None where one of them is missing or no number."""
    values = [row.get(name) for name in names]
    numbers = [float(value) for value in values if isinstance(value, float | int)]
    return tuple(numbers) if len(numbers) == len(names) else None


@dataclass(frozen=True)
class ClinicalScore:
    """A published score; it rises with worse outcome.

    Parameters
    ----------
    name : str
        Name of the configuration in the tables.
    title, source : str
        What it is called, and the paper that defines it.
    needs : tuple of str
        Standard names of its items; a patient without one of them has no score.
    highest : int
        Highest value; the lowest is 0.
    rule : callable
        A patient's row → score or None.
    """

    name: str
    title: str
    source: str
    needs: tuple[str, ...]
    highest: int
    rule: Callable[[ClinicalRow], float | None]

    def of(self, row: ClinicalRow) -> float | None:
        """Return the score as published, or None where an item is missing."""
        return self.rule(row)

    def favourable_score(self, row: ClinicalRow) -> float | None:
        """Return the score with its sign turned, so that it rises with better outcome, or None."""
        value = self.rule(row)
        return None if value is None else 0.0 - value

    def missing(self, row: ClinicalRow) -> tuple[str, ...]:
        """Return the items that a patient lacks."""
        return tuple(name for name in self.needs if _numbers(row, (name,)) is None)


def span100(row: ClinicalRow) -> float | None:
    """SPAN-100: 1 where age in years and NIHSS add up to 100 or more, else 0.

    A patient whose age is known only as a lower bound (``age_capped``) has a score where the bound
    already reaches 100, and none otherwise.

    References
    ----------
    Saposnik G, Guzik AK, Reeves M, Ovbiagele B, Johnston SC. Stroke Prognostication using Age and NIH
    Stroke Scale: SPAN-100. Neurology 2013;80:21-28, doi 10.1212/WNL.0b013e31827b1ace.
    """
    items = _numbers(row, ("age", "nihss"))
    if items is None:
        return None
    positive = sum(items) >= 100
    return None if row.get("age_capped") == 1 and not positive else float(positive)


def thrive(row: ClinicalRow) -> float | None:
    """THRIVE, 0 to 9 points.

    NIHSS up to 10: 0, 11 to 20: 2, 21 or more: 4. Age up to 59: 0, 60 to 79: 1, 80 or more: 2, in
    completed years. Hypertension, diabetes mellitus and atrial fibrillation: 1 each.

    References
    ----------
    Flint AC, Cullen SP, Faigeles BS, Rao VA. Predicting long-term outcome after endovascular stroke
    treatment: the Totaled Health Risks in Vascular Events score. AJNR Am J Neuroradiol 2010;31:1192-1196.
    """
    items = _numbers(row, ("age", "nihss", "hypertension", "diabetes", "atrial_fibrillation"))
    if items is None:
        return None
    age, nihss, *diseases = items
    # An age that is only a lower bound below 80 does not say to which band it belongs.
    if row.get("age_capped") == 1 and age < 80:
        return None
    severity = 2 * (nihss >= 11) + 2 * (nihss >= 21)
    years = (age >= 60) + (age >= 80)
    return float(severity + years + sum(disease > 0 for disease in diseases))


SCORES: Mapping[str, ClinicalScore] = {
    score.name: score
    for score in (
        ClinicalScore(
            "thrive",
            "THRIVE",
            "Flint et al., AJNR 2010;31:1192",
            ("age", "nihss", "hypertension", "diabetes", "atrial_fibrillation"),
            9,
            thrive,
        ),
        ClinicalScore(
            "span100", "SPAN-100", "Saposnik et al., Neurology 2013;80:21", ("age", "nihss"), 1, span100
        ),
    )
}
