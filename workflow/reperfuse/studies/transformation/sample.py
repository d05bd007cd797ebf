"""Which voxels models are fitted and compared on: balanced, capped, and seeded for each patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, generate_binary_structure

from reperfuse.core.seeds import seed_of

Array = np.ndarray


@dataclass(frozen=True)
class Candidates:
    """Voxels of one patient that can be used, as flat indices in C order.

    Parameters
    ----------
    ht, other : ndarray of int
        With and without haemorrhagic transformation.
    drawn : ndarray of int
        Those of ``other`` that the balanced sample may take: not beside HT.
    positive : bool
        Whether the patient has HT.
    """

    ht: Array
    other: Array
    drawn: Array
    positive: bool


@dataclass(frozen=True)
class Share:
    """How many voxels with and without HT a patient gives."""

    ht: int
    other: int


def candidates(where: Array, ht: Array, *, ring_voxels: int) -> Candidates:
    """Tell a patient's voxels apart.

    Parameters
    ----------
    where : ndarray of bool
        (x, y, z) brain that can be used, `scan.Masks.where`.
    ht : ndarray of bool
        (x, y, z) mask of HT; empty of a patient without.
    ring_voxels : int
        Voxels this near to HT in plane are no negatives of the balanced sample: a border that is drawn by hand and
        carried to another grid is not that exact.
    """
    near = ht
    if ring_voxels and ht.any():
        plane = generate_binary_structure(3, 2) & np.array([False, True, False])
        near = binary_dilation(ht, plane, iterations=ring_voxels)
    bleeding, other, drawn = (np.flatnonzero(one) for one in (where & ht, where & ~ht, where & ~near))
    return Candidates(bleeding, other, drawn, positive=bool(ht.any()))


def shares(
    found: Mapping[str, Candidates], *, voxels: int, cap_per_patient: int, from_ht_patients: float, salt: str
) -> dict[str, Share]:
    """Return how many voxels each patient gives: as many without HT as with.

    Voxels with HT are taken from all patients evenly, up to a level at which half of ``voxels`` is reached, or
    ``cap_per_patient``. Those without come from patients with and without HT in the given proportion; where one kind
    has too few, the other gives more, and where both have, fewer with HT are taken.

    Parameters
    ----------
    found : mapping
        participant_id → candidates.
    voxels : int
        In all, at most.
    cap_per_patient : int
        Of either kind.
    from_ht_patients : float
        Share of the voxels without HT that patients with HT give.
    salt : str
        Who gives one voxel more than others where a number cannot be split evenly.
    """
    with_ht = {who: one for who, one in found.items() if one.positive}
    rooms = [
        {who: min(one.drawn.size, cap_per_patient) for who, one in found.items() if one.positive is kind}
        for kind in (True, False)
    ]
    positives = {who: min(one.ht.size, cap_per_patient) for who, one in with_ht.items()}
    total = min(voxels // 2, sum(positives.values()), sum(sum(room.values()) for room in rooms))
    most = [sum(room.values()) for room in rooms]
    inside = max(min(round(total * from_ht_patients), most[0]), total - most[1])
    ht = evenly(positives, total, salt=f"{salt} ht")
    other = evenly(rooms[0], inside, salt=f"{salt} other") | evenly(
        rooms[1], total - inside, salt=f"{salt} other"
    )
    return {who: Share(ht.get(who, 0), other.get(who, 0)) for who in found}


def evenly(rooms: Mapping[str, int], total: int, *, salt: str) -> dict[str, int]:
    """Return how many of ``total`` each gives: the same number, or all that there are.

    Parameters
    ----------
    rooms : mapping
        Name → how many there are.
    total : int
        At most the sum of these.
    salt : str
        The remainder goes to those who come first in an order that depends on it and on the names alone.
    """
    low, high = 0, max(rooms.values(), default=0)
    while low < high:  # the highest level that does not give too many
        middle = (low + high + 1) // 2
        if sum(min(n, middle) for n in rooms.values()) <= total:
            low = middle
        else:
            high = middle - 1
    given = {who: min(n, low) for who, n in rooms.items()}
    missing = total - sum(given.values())
    for who in sorted((who for who, n in rooms.items() if n > low), key=lambda who: seed_of(salt, who))[
        :missing
    ]:
        given[who] += 1
    return given


def drawn(one: Candidates, share: Share, *, who: str, salt: str) -> Array:
    """Return the flat indices (n,) of a patient's sampled voxels, sorted.

    A larger share holds a smaller one: the order depends on the patient and the salt alone, so that somebody who
    joins changes how many voxels others give, but not which come first.
    """
    parts = [
        np.random.default_rng(seed_of(salt, "voxels", who, kind)).permutation(pool)[:n]
        for kind, pool, n in (("ht", one.ht, share.ht), ("other", one.drawn, share.other))
    ]
    return np.sort(np.concatenate(parts))
