"""One patient's series from frames to maps: what is done in which order, and what is left where a point refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.volume import Volume
from reperfuse.perfusion import aif as arteries
from reperfuse.perfusion import shape as shapes
from reperfuse.perfusion.bolus import Bolus, find_bolus
from reperfuse.perfusion.concentration import to_concentration
from reperfuse.perfusion.deconvolution import deconvolve
from reperfuse.perfusion.leakage import boxerman_weisskoff
from reperfuse.perfusion.motion import correct
from reperfuse.perfusion.resampling import to_grid
from reperfuse.perfusion.timing import frame_times
from reperfuse.perfusion.volumes import healthier_side, perfusion_volumes

# Concentration is kept in steps of 1/64 1/s, far below its noise, so that it compresses.
STEPS_PER_UNIT = 64.0
FLAGS = {"E142": "no bolus", "W142": "truncated", "E144": "no AIF", "W144": "motion", "W143": "short"}
FLAGS |= {"W148": "clamped", "W151": "rTTP and Tmax disagree"}


@dataclass
class Perfused:
    """What a series gives.

    Parameters
    ----------
    images : dict
        ``PWI_s0 PWI_brain PWI_valid PWI_concentration`` (4-D, 1/s) and maps ``PWI_cbf`` (ml/100 g/min) ``PWI_cbv``
        (ml/100 g) ``PWI_mtt PWI_tmax PWI_ttp PWI_rttp`` (s) ``PWI_k2`` (1/s) ``PWI_slope PWI_final PWI_peak``, masks
        ``PWI_aif PWI_vof``; those that could be made.
    curves, motion : list of dict
        Rows of the two tables.
    faults : list of Fault
    facts : dict
    """

    images: dict[str, Volume] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    motion: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=lambda: {"flags": []})
