from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.studies.transformation.sample import Candidates, candidates, drawn, evenly, shares

KEYS = {"voxels": 400, "cap_per_patient": 50, "from_ht_patients": 0.5, "salt": "s"}


def pools(sizes: list[tuple[int, int]]) -> dict[str, Candidates]:
    """Patients with so many voxels with and without HT."""
    found = {}
    for i, (ht, other) in enumerate(sizes):
        rest = np.arange(ht, ht + other)
        found[f"sub-{i}"] = Candidates(np.arange(ht), rest, rest, ht > 0)
    return found


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 300)), min_size=1, max_size=8),
    st.integers(2, 600), st.integers(1, 80), st.floats(0, 1),
)  # fmt: skip
def test_the_sample_is_balanced_capped_and_within_what_there_is(
    sizes: list[tuple[int, int]], voxels: int, cap: int, share: float
) -> None:
    found = pools(sizes)
    given_ = shares(found, voxels=voxels, cap_per_patient=cap, from_ht_patients=share, salt="s")
    n_ht, n_other = sum(one.ht for one in given_.values()), sum(one.other for one in given_.values())
    assert n_ht == n_other <= voxels // 2
    for who, one in given_.items():
        assert 0 <= one.ht <= min(cap, found[who].ht.size)
        assert 0 <= one.other <= min(cap, found[who].drawn.size)
    if n_ht < min(voxels // 2, sum(min(cap, one.ht.size) for one in found.values())):
        assert n_other == sum(min(cap, one.drawn.size) for one in found.values()), "all that could be taken"


def test_all_voxels_with_ht_are_taken_up_to_the_cap_and_others_from_both_kinds_of_patient() -> None:
    found = pools([(30, 200), (90, 200), (0, 200), (0, 200)])
    given_ = shares(found, **KEYS)
    assert [given_[f"sub-{i}"].ht for i in range(4)] == [30, 50, 0, 0]
    assert [given_[f"sub-{i}"].other for i in range(4)] == [20, 20, 20, 20]
    alone = shares(pools([(30, 200), (90, 200)]), **KEYS)
    assert sum(one.other for one in alone.values()) == 80, "without patients without HT, the others give all"


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 40), max_size=6), st.data())
def test_evenly_gives_what_is_asked_and_never_two_more_than_another_who_has_more(
    rooms: dict[str, int], data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, sum(rooms.values())))
    found = evenly(rooms, total, salt="s")
    assert sum(found.values()) == total
    for one in rooms:
        for other in rooms:
            assert found[one] - found[other] <= 1 or found[other] == rooms[other]


def test_a_larger_share_holds_the_smaller_one_and_depends_on_nobody_else() -> None:
    (one,) = pools([(200, 500)]).values()
    small, large = shares({"a": one}, **{**KEYS, "voxels": 40}), shares({"a": one}, **KEYS)
    few, many = (set(drawn(one, found["a"], who="a", salt="s")) for found in (small, large))
    assert few < many and len(few) == 40 and len(many) == 100
    assert few != set(drawn(one, small["a"], who="b", salt="s"))


def test_a_ring_in_plane_is_no_negative_of_the_sample_but_is_predicted() -> None:
    where, ht = np.ones((7, 7, 3), dtype=bool), np.zeros((7, 7, 3), dtype=bool)
    ht[3, 3, 1] = True
    plain, ringed = (candidates(where, ht, ring_voxels=n) for n in (0, 1))
    assert plain.drawn.size == plain.other.size == ringed.other.size == 146
    gone = np.setdiff1d(plain.drawn, ringed.drawn)
    at = np.column_stack(np.unravel_index(gone, ht.shape))
    assert len(gone) == 8 and (at[:, 2] == 1).all() and (np.abs(at[:, :2] - 3).max(axis=1) == 1).all()
    outside = candidates(where & (np.arange(7) > 3)[:, None, None], ht, ring_voxels=0)
    assert outside.ht.size == 0 and outside.positive, "HT where no voxel can be used is still HT"
