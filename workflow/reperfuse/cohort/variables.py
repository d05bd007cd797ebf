"""Clinical variables: standard names, what they may hold, when they are known, other names for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

YES_NO: Mapping[str, tuple[str, ...]] = {
    "1": ("1", "yes", "y", "true", "t", "present", "positive"),
    "0": ("0", "no", "n", "false", "f", "absent", "negative"),
}
SEX: Mapping[str, tuple[str, ...]] = {"M": ("M", "male", "man", "1"), "F": ("F", "female", "woman", "2")}
TICI: Mapping[str, tuple[str, ...]] = {grade: (grade,) for grade in ("0", "1", "2a", "2b", "2c", "3")}
ECASS: Mapping[str, tuple[str, ...]] = {
    "none": ("none", "no", "0"),
    "HI1": ("HI1", "HI-1"),
    "HI2": ("HI2", "HI-2"),
    "PH1": ("PH1", "PH-1"),
    "PH2": ("PH2", "PH-2"),
}
# Items of the NIH Stroke Scale and their highest score; the maxima add up to 42.
NIHSS_ITEMS: Mapping[str, int] = {
    "1a": 3, "1b": 2, "1c": 2, "2": 2, "3": 3, "4": 3, "5a": 4, "5b": 4,
    "6a": 4, "6b": 4, "7": 2, "8": 2, "9": 3, "10": 2, "11": 2,
}  # fmt: skip
# What a value in the first unit is multiplied by to be in the second.
FACTORS: Mapping[tuple[str, str], float] = {
    ("h", "min"): 60.0,
    ("s", "min"): 1 / 60,
    ("d", "min"): 1440.0,
    ("mg/dl", "mmol/l"): 1 / 18.016,  # molar mass of glucose, 180.16 g/mol
}
UNIT_NAMES: Mapping[str, str] = {
    "hour": "h", "hours": "h", "hr": "h", "minute": "min", "minutes": "min", "mins": "min",
    "second": "s", "seconds": "s", "sec": "s", "day": "d", "days": "d", "year": "years", "y": "years",
}  # fmt: skip


@dataclass(frozen=True)
class Variable:
    """One clinical variable.

    Parameters
    ----------
    name, description, units : str
        Standard name, what it is, and the unit that its values are kept in.
    kind : {"number", "whole", "flag", "level", "text"}
        Real number, whole number, 0 or 1, one of ``levels``, or any text.
    available_at : {"J0", "J1", "none"}
        The visit from which on a model may see it; ``none`` for outcomes, groups and labels.
    low, high : float, optional
        Range of a number, in ``units``.
    levels : mapping
        Standard level → the spellings that stand for it.
    aliases : tuple of str
        Column names that mean this variable beyond doubt.
    follow_up : str
        Name of the variable that a row of visit J1 fills; empty where there is none.
    once : bool
        One value per patient, whichever visit's row holds it.
    """

    name: str
    description: str
    kind: str
    available_at: str
    units: str = ""
    low: float | None = None
    high: float | None = None
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    follow_up: str = ""
    once: bool = False

    @property
    def allowed(self) -> str:
        """What the variable may hold, in words."""
        if self.kind in ("flag", "level"):
            return "one of " + ", ".join(self.levels)
        noun = "a whole number" if self.kind == "whole" else "a number"
        span = "" if self.low is None else f" from {self.low:g} to {self.high:g}"
        return noun + span + (f" {self.units}" if self.units else "")


def _flag(name: str, description: str, available_at: str, *aliases: str, once: bool = True) -> Variable:
    return Variable(name, description, "flag", available_at, levels=YES_NO, aliases=aliases, once=once)


def _number(
    name: str, text: str, at: str, units: str, low: float, high: float, *aliases: str, once: bool = False
) -> Variable:
    return Variable(name, text, "number", at, units, low, high, aliases=aliases, once=once)


def _score(
    name: str, text: str, at: str, high: int, *aliases: str, follow_up: str = "", once: bool = False
) -> Variable:
    return Variable(
        name, text, "whole", at, "", 0, high, aliases=aliases, follow_up=follow_up, once=once
    )  # fmt: skip


def _text(name: str, description: str, available_at: str, *aliases: str) -> Variable:
    return Variable(name, description, "text", available_at, aliases=aliases, once=True)


def _items(stem: str, when: str, available_at: str) -> list[Variable]:
    follow = "nihss_24h_{}" if stem == "nihss" else ""
    return [
        _score(f"{stem}_{item}", f"NIHSS item {item} {when}", available_at, high,
               follow_up=follow.format(item))
        for item, high in NIHSS_ITEMS.items()
    ]  # fmt: skip


_ALL: list[Variable] = [
    _number("age", "Age at the stroke", "J0", "years", 0, 120, "age_years", "age_at_stroke", once=True),
    Variable("sex", "Sex", "level", "J0", levels=SEX, aliases=("gender",), once=True),
    _number("bmi", "Body mass index", "J0", "kg/m²", 8, 200, "body_mass_index", once=True),
    _score("nihss", "NIHSS at admission", "J0", 42, "nihss_total", "nihss_baseline", "baseline_nihss",
           "nihss_admission", "admission_nihss", "nihss_adm", "nihss_j0", follow_up="nihss_24h"),
    *_items("nihss", "at admission", "J0"),
    _score("nihss_24h", "NIHSS at 24 h", "J1", 42, "nihss_24", "nihss_j1", "nihss_day1", once=True),
    *_items("nihss_24h", "at 24 h", "J1"),
    _score("mrs_prestroke", "Modified Rankin scale before the stroke", "J0", 6, "prestroke_mrs",
           "premorbid_mrs", "mrs_premorbid", "mrs_pre", "mrs_pre_stroke", once=True),
    _score("mrs_discharge", "Modified Rankin scale at discharge (6 = death)", "none", 6,
           "gs_rankin_6isdeath", "discharge_mrs", once=True),
    _score("mrs_3m", "Modified Rankin scale at 3 months (6 = death)", "none", 6, "mrs_90", "mrs_90d",
           "mrs_90days", "mrs_3months", "mrs_3_months", "mrs_month3", "mrs_m3", "90d_mrs", once=True),
    _number("glucose", "Blood glucose at admission", "J0", "mmol/L", 1, 60, "glycaemia", "glycemia",
            "blood_glucose"),
    _number("sbp", "Systolic blood pressure at admission", "J0", "mmHg", 40, 300, "systolic_bp",
            "systolic_blood_pressure"),
    _flag("hypertension", "History of hypertension", "J0", "htn", "hta"),
    _flag("diabetes", "History of diabetes mellitus", "J0", "dm", "diabetes_mellitus"),
    _flag("atrial_fibrillation", "Atrial fibrillation", "J0", "afib", "atrial_fib"),
    _flag("prior_stroke", "Stroke before this one", "J0", "priorstroke", "previous_stroke"),
    _flag("acute_stroke", "Acute ischaemic stroke diagnosed at admission", "J0", "acuteischaemicstroke"),
    _number("onset_to_mri_min", "Time from onset to the MRI of J0", "J0", "min", 0, 43200, "onset_to_mri",
            "onset_to_imaging", "onset_to_imaging_min"),
    _number("onset_to_ivt_min", "Time from onset to intravenous thrombolysis", "J1", "min", 0, 43200,
            "onset_to_needle", "onset_to_needle_min", "onset_to_ivt"),
    _number("onset_to_groin_min", "Time from onset to groin puncture", "J1", "min", 0, 43200, "onset_to_groin",
            "onset_to_puncture", "onset_to_puncture_min"),
    _number("j0_to_j1_min", "Time from the MRI of J0 to that of J1", "J1", "min", 0, 43200, "j0_to_j1"),
    _flag("ivt", "Intravenous thrombolysis", "J1", "thrombolysis", "iv_thrombolysis", "tpa", "rtpa"),
    _flag("evt", "Endovascular treatment", "J1", "thrombectomy", "mechanical_thrombectomy"),
    Variable("tici", "Reperfusion grade (TICI) at the end of endovascular treatment", "level", "J1",
             levels=TICI, aliases=("mtici", "tici_score", "etici"), once=True),
    _flag("ht", "Haemorrhagic transformation at follow-up", "none", "haemorrhagic_transformation",
          "hemorrhagic_transformation"),
    Variable("ecass", "Haemorrhagic transformation by ECASS class", "level", "none", levels=ECASS,
             aliases=("ecass_class", "ecass_ii"), once=True),
    *(_number(f"vendor_{name}_ml", f"{text} at admission by a vendor's software", "J0", "ml", 0, 2000,
              f"rapid_{name}_ml", once=True)
      for name, text in (("tmax6", "Volume with Tmax > 6 s"), ("core", "Volume of the diffusion core"),
                         ("mismatch", "Volume of the mismatch"))),
    _text("site", "Hospital", "J0", "center", "centre", "hospital"),
    _text("vendor", "Maker of the scanner", "J0", "manufacturer", "scanner_vendor"),
    _text("family", "Group that must stay in one fold (relatives, or one person's several entries)",
          "none", "family_id"),
    _text("etiology", "Cause of the stroke (TOAST)", "none", "aetiology", "toast"),
]  # fmt: skip

STANDARD: Mapping[str, Variable] = {variable.name: variable for variable in _ALL}
