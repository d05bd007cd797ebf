from __future__ import annotations

import numpy as np
import pytest

from reperfuse.imaging.pattern import lattice
from reperfuse.studies.severity.lesion_maps import STRENGTHS, Fitting, Seen, ridge, see

CELL_MM = 24.0
OPTIONS = {"cell_mm": CELL_MM, "fwhm_mm": 30.0, "small": 0.001}
WEIGHTS = {"plain": 0.3, "mirrored": 1.0, "volume": 1.0}


def made(n: int = 40, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cells, log volume and a target that both sides of the front shape alike."""
    rng = np.random.default_rng(seed)
    shape = lattice(CELL_MM)
    cells = (rng.random((n, *shape)) * (rng.random((n, *shape)) < 0.02)).astype(np.float32)
    volume = np.log1p(cells.sum(axis=(1, 2, 3)) * CELL_MM**3 / 1000)
    target = volume / 2 + 5 * cells[:, :, 6:].sum(axis=(1, 2, 3)) / (1 + cells.sum(axis=(1, 2, 3)))
    return cells.reshape(n, -1), volume, target


def features(seen: Seen, train: Seen) -> np.ndarray:
    """Return what the rule is linear in, each part in units of the training patients."""
    volume = (seen.log_volume - train.log_volume.mean()) / train.log_volume.std()
    parts = []
    for name, mine, theirs in (
        ("plain", seen.maps, train.maps),
        ("mirrored", seen.mirrored, train.mirrored),
        (
            "volume",
            volume[:, None],
            ((train.log_volume - train.log_volume.mean()) / train.log_volume.std())[:, None],
        ),
    ):
        spread = ((theirs - theirs.mean(axis=0)) ** 2).sum(axis=1).mean()
        parts.append((mine - theirs.mean(axis=0)) * np.sqrt(WEIGHTS[name] / spread))
    return np.hstack(parts).astype(float)


def test_the_weights_of_cells_are_those_of_ridge_regression_on_the_features() -> None:
    cells, volume, target = made()
    seen = see(cells, volume, **OPTIONS)
    rows = np.arange(5, 35)
    rule = Fitting(seen, WEIGHTS).fit(rows, target[rows])
    train, some = features(seen.of(rows), seen.of(rows)), seen.of(np.arange(5))
    z = target[rows] - target[rows].mean()
    mean = (train**2).sum() / len(rows)
    candidates = []
    for strength in STRENGTHS:
        weights = np.linalg.solve(train.T @ train + strength * mean * np.eye(train.shape[1]), train.T @ z)
        candidates.append(features(some, seen.of(rows)) @ weights + target[rows].mean())
    distances = [np.abs(rule.decision(some) - one).max() for one in candidates]
    assert min(distances) < 1e-4 and sorted(distances)[1] > 1e-2


def test_the_penalty_is_that_of_leaving_one_out() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(25, 4))
    x -= x.mean(axis=0)
    target = x @ [1, 0.5, 0, 0] + rng.normal(size=25)
    kernel, mean = x @ x.T, np.trace(x @ x.T) / 25

    def error(strength: float) -> float:
        off = []
        for i in range(25):
            rest = np.arange(25) != i
            few, middle = x[rest] - x[rest].mean(axis=0), target[rest].mean()
            inverse = np.linalg.solve(few @ few.T + strength * mean * np.eye(24), target[rest] - middle)
            off.append(target[i] - middle - (x[i] - x[rest].mean(axis=0)) @ few.T @ inverse)
        return float(np.mean(np.square(off)))

    best = min(STRENGTHS, key=error)
    expected = np.linalg.solve(kernel + best * mean * np.eye(25), target - target.mean())
    np.testing.assert_allclose(ridge(kernel, target), expected, atol=1e-9)
    assert ridge(kernel, target).sum() == pytest.approx(0, abs=1e-9)


def test_the_mirror_image_of_a_lesion_is_the_same_to_the_mirrored_maps_alone() -> None:
    cells, volume, _ = made(6)
    other = cells.reshape(6, *lattice(CELL_MM))[:, ::-1].reshape(6, -1)
    one, two = see(cells, volume, **OPTIONS), see(other, volume, **OPTIONS)
    np.testing.assert_allclose(one.mirrored, two.mirrored, atol=1e-6)
    assert np.abs(one.maps - two.maps).max() > 0.01
    assert np.linalg.norm(one.maps, axis=1) == pytest.approx(np.ones(6), abs=1e-5)


def test_no_lesion_is_a_map_of_zeros_and_no_map_counts_as_the_mean() -> None:
    cells, volume, target = made()
    cells[0], volume[0], cells[1] = 0, 0, np.nan
    seen = see(cells, volume, **OPTIONS)
    assert not seen.maps[:2].any() and seen.there.tolist()[:2] == [True, False]
    rule = Fitting(seen, WEIGHTS).fit(np.arange(40), target)
    others = seen.of(np.arange(2, 40))
    without = seen.of(np.array([1]))
    mean = np.append(rule.on_cells(others), rule.on_cells(seen.of(np.array([0])))).mean()
    assert rule.on_cells(without) == pytest.approx(0)
    expected = mean + rule.volume * rule.filling(without.log_volume[:, None])[0, 0] + rule.intercept
    assert rule.decision(without)[0] == pytest.approx(expected, abs=1e-6)


def test_where_all_are_alike_everybody_is_the_mean() -> None:
    cells, volume, target = made(8)
    seen = see(np.zeros_like(cells), np.zeros_like(volume), **OPTIONS)
    rule = Fitting(seen, WEIGHTS).fit(np.arange(8), target)
    assert rule.decision(seen) == pytest.approx(np.full(8, target.mean()))


def test_without_any_map_the_volume_is_what_is_left() -> None:
    cells, volume, _ = made(12)
    cells[6:], target = np.nan, 2 * volume
    seen = see(cells, volume, **OPTIONS)
    rule = Fitting(seen, WEIGHTS).fit(np.arange(6, 12), target[6:])
    assert not rule.maps.any() and not rule.mirrored.any()
    assert rule.decision(seen) == pytest.approx(target, abs=0.05)
    nothing = see(cells, np.full(12, np.nan), **OPTIONS)
    rule = Fitting(nothing, WEIGHTS).fit(np.arange(6, 12), target[6:])
    assert rule.decision(nothing) == pytest.approx(np.full(12, target[6:].mean()))
