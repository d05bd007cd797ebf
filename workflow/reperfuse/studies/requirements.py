"""What each of the five systems needs of a patient."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from reperfuse.cohort.layout import DIFFUSION, MAP


@dataclass(frozen=True)
class ImageNeed:
    """At least ``at_least`` of ``roles`` at ``visit``; or else a value of one of ``or_variables``.

    ``made_from`` names further images that a role can be made from.
    """

    visit: str
    roles: tuple[str, ...]
    at_least: int = 1
    or_variables: tuple[str, ...] = ()
    made_from: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def there(self, images: Collection[str]) -> list[str]:
        """Return the roles that these images of the visit play, or can be made to."""
        return [one for one in self.roles if one in images or set(images) & set(self.made_from.get(one, ()))]


@dataclass(frozen=True)
class Limits:
    """A clinical value must lie between ``low`` and ``high``; ``unknown`` says whether it may be missing."""

    variable: str
    low: float
    high: float
    units: str
    unknown: bool


@dataclass(frozen=True)
class Order:
    """``first`` must not be later than any of ``then``, as far as both are known."""

    first: str
    then: tuple[str, ...]
    what: str


@dataclass(frozen=True)
class Label:
    """A two-class label cut from a clinical variable.

    Parameters
    ----------
    name : str
        What 1 stands for.
    variable : str
        Standard name.
    above : bool
        Whether the label is 1 above the cut, else at or below it.
    cut : float
        Highest value of the lower class.
    """

    name: str
    variable: str
    above: bool
    cut: float

    def of(self, row: Mapping[str, float | str | None]) -> int | None:
        """Return 0 or 1, or None where the variable has no number."""
        value = row.get(self.variable)
        if not isinstance(value, float | int):
            return None
        return int((value > self.cut) == self.above)

    @property
    def rule(self) -> str:
        """The label in words, such as ``mrs_3m <= 1``."""
        return f"{self.variable} {'>' if self.above else '<='} {self.cut:g}"


@dataclass(frozen=True)
class Requirement:
    """What a study needs of a patient.

    Parameters
    ----------
    study : str
        Section of the configuration.
    title : str
        What the study predicts.
    images : tuple of ImageNeed
        All of them.
    clinical : tuple of str
        Variables without which a patient cannot take part.
    label : Label, optional
        None where the study has no label of patients.
    optional : tuple of str
        Variables that are used where they are there.
    limits : tuple of Limits
        Ranges of clinical values.
    orders : tuple of Order
        What must come before what.
    """

    study: str
    title: str
    images: tuple[ImageNeed, ...]
    clinical: tuple[str, ...] = ()
    label: Label | None = None
    optional: tuple[str, ...] = ()
    limits: tuple[Limits, ...] = ()
    orders: tuple[Order, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether the study has a label of patients."""
        return self.label is not None

    def label_of(self, row: Mapping[str, float | str | None]) -> int | None:
        """Return a patient's label, or None."""
        return None if self.label is None else self.label.of(row)


def outcome(section: Mapping[str, Any]) -> Requirement:
    """Favourable outcome (arXiv 2512.02088): each visit's image, ADC by default; mRS at 3 months at most 1."""
    label = Label("favourable outcome", section["variable"], False, section["favourable_max"])
    return Requirement(
        "outcome",
        "favourable functional outcome",
        tuple(ImageNeed(visit, (section["image"],)) for visit in section["visits"]),
        (section["variable"],),
        label,
        ("age", "sex", "nihss", "nihss_24h", "mrs_prestroke", "glucose", "sbp"),
    )


# Channel of a network → images of J0 that it is, or can be made from. A lesion is given, or found on the ADC map.
CHANNELS = {"trace": ("trace", "dwi"), "adc": ("adc", "dwi"), "lesion": ("lesion", "adc", "dwi")}


def severity(section: Mapping[str, Any]) -> Requirement:
    """Non-minor stroke (TRACT-NET, doi 10.1007/s10278-026-01892-5): what networks are shown of J0, NIHSS."""
    label = Label("non-minor stroke", section["variable"], True, section["minor_max"])
    images = tuple(ImageNeed("J0", CHANNELS[channel]) for channel in section["channels"])
    return Requirement("severity", "non-minor stroke", images, (section["variable"],), label, ("age", "sex"))


def transformation(section: Mapping[str, Any]) -> Requirement:
    """Haemorrhagic transformation (Yu et al., MICCAI 2019): PWI and DWI of J0; GRE of J1 or the label.

    As the paper's patients: imaged within 6 h of the onset and before any treatment, and again at about 24 h. The
    time of the onset must be known, or it cannot be said that it is so long ago; of treatment and follow-up it counts
    where a table has it.
    """
    variable, asked = section["variable"], section["eligibility"]
    images = (
        ImageNeed("J0", ("pwi",)),
        ImageNeed("J0", ("dwi", "trace")),
        ImageNeed("J1", ("gre",), or_variables=(variable,)),
    )
    label = Label("haemorrhagic transformation", variable, True, 0)
    low, high = asked["follow_up_h"]
    limits = (
        Limits("onset_to_mri_min", 0, asked["onset_max_min"], "min", asked["unknown_onset"]),
        Limits("j0_to_j1_min", 60 * low, 60 * high, "min", True),
    )
    treatment = Order(
        "onset_to_mri_min", ("onset_to_ivt_min", "onset_to_groin_min"), "imaging before treatment"
    )
    return Requirement(
        "transformation", "haemorrhagic transformation", images, (), label, ("ecass", "tici"),
        limits, (treatment,) if asked["before_treatment"] else (),
    )  # fmt: skip


# Contrast of the fusion → other images of J0 that it can be made from; other names are of `images.maps`.
CONTRASTS = {
    "trace": ("dwi",),
    "adc": ("dwi",),
    "jac": DIFFUSION,  # of the transform that brings these to the template
    "lesion": ("adc", "dwi"),
    "lesion_distance": CHANNELS["lesion"],
    **dict.fromkeys(("flair", "t1w", "gre"), ()),
    **dict.fromkeys(("tmax", "cbf", "cbv", "mtt"), ("pwi",)),
}


def fusion(section: Mapping[str, Any]) -> Requirement:
    """Embeddings of several contrasts (arXiv 2303.15963): two contrasts or more of J0; no label."""
    contrasts = tuple(section["contrasts"])
    made_from = {name: CONTRASTS.get(name, (f"{MAP}{name}",)) for name in contrasts}
    need = ImageNeed("J0", contrasts, section["minimum"], made_from=made_from)
    return Requirement("fusion", "strata of patients", (need,), optional=("age", "sex", "family", "site"))


def imputation(section: Mapping[str, Any]) -> Requirement:
    """Imputation of a contrast (ACADiff, arXiv 2603.09931): a pair of contrasts of J0."""
    need = ImageNeed("J0", tuple(section["contrasts"]), section["minimum"])
    return Requirement("imputation", "missing contrasts", (need,), optional=("age", "sex", "nihss"))


STUDIES = {
    "outcome": outcome,
    "fusion": fusion,
    "severity": severity,
    "transformation": transformation,
    "imputation": imputation,
}


def requirements(studies: Mapping[str, Mapping[str, Any]]) -> dict[str, Requirement]:
    """Return what every study needs.

    Parameters
    ----------
    studies : mapping
        Section ``studies`` of the configuration with its defaults filled in; a study that it leaves
        out is not judged.
    """
    return {name: build(studies[name]) for name, build in STUDIES.items() if name in studies}
