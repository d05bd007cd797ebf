"""Where things are written: the steps of a patient, and the names under which their images are published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VISITS = ("J0", "J1")
DIFFUSION = ("adc", "trace", "dwi")
CONTRASTS = ("flair", "t1w", "gre", "pwi")
# What the roles of the maps under ``images.maps`` begin with.
MAP = "map_"

PREPARED = {
    "J0": ("adc", "trace", "s0", "brain", "flair", "t1w", "gre", "pwi"),
    "J1": ("adc", "trace", "s0", "brain", "flair", "gre"),
}


def is_prepared(visit: str, name: str) -> bool:
    """Whether `prepare` keeps an image of a visit."""
    return name in PREPARED[visit] or (visit == "J0" and name.startswith(MAP))


# Steps of a patient in order, each with the steps whose records it reads; `template` is everybody's.
AFTER: dict[str, tuple[str, ...]] = {
    "prepare": (),
    "register": ("prepare",),
    "normalise": ("prepare", "register", "template"),
    "lesions": ("prepare", "register", "normalise"),
    "perfusion": ("prepare", "register", "lesions"),
    "page": ("prepare", "register", "normalise", "lesions", "perfusion"),
}

# Published name: folder and the part after the session; {space} marks images on the J0 grid.
PUBLISHED = {
    "adc": ("dwi", "desc-preproc_ADC"),
    "trace": ("dwi", "desc-preproc_trace"),
    "s0": ("dwi", "desc-preproc_S0map"),
    "brain": ("dwi", "desc-brain_mask"),
    "flair": ("anat", "desc-preproc_FLAIR"),
    "t1w": ("anat", "desc-preproc_T1w"),
    "gre": ("anat", "desc-preproc_T2starw"),
    "pwi": ("perf", "desc-mean_dsc"),
    "jacobian": ("anat", "desc-jacobian_map"),
    # BIDS knows no names of perfusion maps; these are those of ISLES'24.
    **{one: ("perf", one) for one in ("cbf", "cbv", "mtt", "tmax", "ttp", "rttp", "k2")},
    "aif": ("perf", "label-AIF_mask"),
    "vof": ("perf", "label-VOF_mask"),
}
PERFUSION_MAPS = ("cbf", "cbv", "mtt", "tmax", "ttp", "rttp", "k2", "aif", "vof")


def criteria_of(lesions: Mapping[str, Any]) -> list[str]:
    """Return every criterion that ``lesions.tsv`` may hold, and ``lesion`` for the one that counts."""
    cuts = [f"adc{cut:g}{raw}" for cut in lesions["thresholds"] for raw in ("", "_raw")]
    return [*cuts, *(f"adcp{one:g}" for one in lesions["percentiles"]), "given", "lesion"]


def steps_of(visits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the steps that a patient's images allow, in order.

    Parameters
    ----------
    visits : mapping
        Visit → role → files.
    """
    roles = {(visit, role) for visit, found in visits.items() for role in found}
    diffusion = {visit for visit, role in roles if role in DIFFUSION}
    steps = []
    if any(role not in ("lesion", "brain", "ht", "aif") for _, role in roles):
        steps.append("prepare")
    if diffusion and (
        len(diffusion) > 1 or any(role in CONTRASTS or role.startswith(MAP) for _, role in roles)
    ):
        steps.append("register")
    if "J0" in diffusion:
        steps.append("normalise")
    if any(role in ("adc", "dwi", "lesion") for _, role in roles):
        steps.append("lesions")
    if ("J0", "pwi") in roles:
        steps.append("perfusion")
    return [*steps, "page"] if steps else []


def published(
    participant_id: str, name: str, sessions: Mapping[str, str], *, source: str = "", space: str = ""
) -> str | None:
    """Return the path under which an image is published, or None if it stays in ``work``.

    Parameters
    ----------
    participant_id : str
        ``sub-X``.
    name : str
        The file's stem under ``work/sub-X/``.
    sessions : mapping
        Visit → session label; empty without sessions.
    source : str
        Image that this one was resampled from, ``J1_gre`` for instance; it gives the session.
    space : str
        Space of a mask that is not on the grid of the visit's diffusion image.
    """
    place, _, what = name.partition("_")
    if what.startswith(MAP):  # the user's own, as it was given
        return None
    if place == "PWI":
        if what not in PERFUSION_MAPS:
            return None
    elif what not in PUBLISHED and place not in VISITS:
        return None
    visit = place if place in VISITS else source.partition("_")[0] or "J0"
    session = f"ses-{sessions[visit]}" if visit in sessions else ""
    folder, rest = PUBLISHED.get(what, ("dwi", f"label-L_desc-{what}_mask"))
    found = {"space-J0": "J0", "space-MNI": "MNI152NLin2009aSym"}.get(place, space)
    base = "_".join(part for part in (participant_id, session, found and f"space-{found}", rest) if part)
    return "/".join(part for part in (participant_id, session, folder, f"{base}.nii.gz") if part)


# What three steps read of the images before.
NORMALISE_READ = tuple(f"J0_{name}" for name in ("s0", "trace", "adc", "brain", "t1w"))
LESIONS_READ = tuple(f"{visit}_{name}" for visit in VISITS for name in ("adc", "trace", "brain"))
PERFUSION_READ = (*(f"J0_{name}" for name in ("adc", "trace", "s0", "brain", "pwi", "lesion")), "J1_gre")
