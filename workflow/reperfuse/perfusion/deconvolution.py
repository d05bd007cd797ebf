"""Residue functions by singular value decomposition of the block-circulant matrix of the AIF.

The 2n × 2n circulant matrix of an AIF padded with n zeros is diagonal in Fourier space: its singular values
are the moduli of the AIF's spectrum. To leave out small ones is therefore to keep some frequencies and drop
the others, and the whole deconvolution of a curve is one product with a matrix of its n samples by the lags
that are looked at. Lags that wrap around are negative delays (Wu et al., Magn Reson Med 2003; 50: 164).

What is kept is a low-pass. A residue function rises at once and then decays; low-passed, its peak is lower
and comes later, the more so the longer the MTT. What the same low-pass makes of ideal exponentials tells how
much, so that both are put right voxel by voxel (`correction`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

PER_100ML_MIN = 6000.0  # 1/s → ml/100 ml/min
LAGS_PER_STEP = 2  # the kept frequencies are then sampled densely enough for a parabola
WIDTH_PLACES = 4  # after the peak, spread over the width
CHUNK = 4096  # voxels whose residue functions stay in the cache
NOISE_FROM = 0.75  # share of the Nyquist frequency above which a curve is taken for noise
N_MTT, N_WIDTHS = 256, 1024


@dataclass(frozen=True)
class Residue:
    """What the residue function of each voxel says.

    Parameters
    ----------
    cbf, cbv, mtt_s, tmax_s : ndarray, shape (n,), float32
        In ml/100 ml/min, ml/100 ml, s and s. 0 where no peak above 0 was found. A delay may be negative.
    peak_z : ndarray, shape (n,), float32
        Height of the peak by the standard deviation that the curve's own noise gives it there.
    threshold : ndarray, shape (n,), float32
        Share of the largest singular value below which singular values were left out.
    """

    cbf: Array
    cbv: Array
    mtt_s: Array
    tmax_s: Array
    peak_z: Array
    threshold: Array


def deconvolve(
    curves: Array,
    aif: Array,
    *,
    step_s: float,
    method: str,
    threshold: float,
    oscillation_index: float,
    lowest_threshold: float,
    correction: str,
    convolution: str,
    search_s: Sequence[float],
    width_s: float,
    mtt_range_s: Sequence[float],
    haematocrit_factor: float,
) -> Residue:
    """Deconvolve concentration curves with an AIF.

    Parameters
    ----------
    curves : ndarray, shape (n, n_times)
        ΔR2* in 1/s, on the same times as the AIF, from before the bolus on.
    aif : ndarray, shape (n_times,)
        ΔR2* of the artery in 1/s.
    step_s : float
        Sampling interval. The native one is best: interpolated samples carry less noise at high frequencies.
    method : {"cSVD", "oSVD"}
    threshold : float
        cSVD: singular values below this share of the largest are left out.
    oscillation_index : float
        oSVD: of the thresholds, in steps of 0.01, the lowest whose residue function oscillates no more than
        this, found by bisection.
    lowest_threshold : float
        oSVD: the first threshold. Far below 0.05, what a curve lost by sampling decides, and the oscillation
        index cannot tell.
    correction : {"exponential", "none"}
        "exponential" takes from CBF and Tmax what the low-pass does to R(t) = exp(−t/MTT), whose MTT is
        read from the width of the peak. "none" gives height and place of the low-passed peak.
    convolution : {"continuous", "sums"}
        What an ideal curve is: sampled from the integral AIF ⊗ R, or, as in reference objects made by a
        program, the sum of the samples' products.
    search_s : two floats
        Delays among which the peak is looked for.
    width_s : float
        Time after the peak over which its width is read; short enough that leakage and recirculation weigh
        little.
    mtt_range_s : two floats
        Shortest and longest MTT of the ideal residue functions.
    haematocrit_factor : float
        k_H = (1 − Hct_artery)/(1 − Hct_capillary), a factor of CBF and CBV; over the density of tissue in
        g/ml, they are per 100 g.

    Returns
    -------
    Residue
        CBF = k_H · max R; CBV = k_H · ∫C/∫AIF; MTT = CBV/CBF; Tmax: the delay.

    Raises
    ------
    ValueError
        Where shapes differ, a value is not finite, or the AIF has no area.

    Source: Østergaard et al., Magn Reson Med 1996; 36: 715; Wu et al., Magn Reson Med 2003; 50: 164. The
    correction is this project's, measured in docs/results/perfusion.md.
    """
    curves, aif = np.asarray(curves), np.asarray(aif, dtype=np.float64)
    if curves.ndim != 2 or aif.shape != curves.shape[1:]:
        raise ValueError(f"curves {curves.shape} and AIF {aif.shape} differ in their times")
    if not (np.isfinite(aif).all() and aif.sum() > 0):
        raise ValueError(f"the AIF has the area {aif.sum() * step_s:g}; expected a finite one above 0")
    filters = _Filters(aif, step_s, search_s, width_s, mtt_range_s, convolution)
    result = np.zeros((5, curves.shape[0]), dtype=np.float32)
    for start in range(0, curves.shape[0], CHUNK):
        part = slice(start, start + CHUNK)
        chunk = curves[part].astype(np.float32, copy=False)
        area = chunk.sum(axis=1) / aif.sum()
        if not np.isfinite(area).all():
            raise ValueError("a concentration is not finite; leave such voxels out")
        for rows, one in filters.of(chunk, method, threshold, oscillation_index, lowest_threshold):
            delay, height, share, z = filters[one].measure(chunk[rows])
            if correction == "exponential":
                late, gain = filters[one].bias(share)
                delay, height = delay - late, height / gain
            here = start + rows
            result[:4, here] = np.stack((height, delay, area[rows], z)) * (height > 0)
            result[4, here] = one
    height, tmax, area, z, used = result
    cbf = (PER_100ML_MIN * haematocrit_factor) * height
    cbv = (100 * haematocrit_factor) * area
    mtt = np.divide(60 * cbv, cbf, out=np.zeros_like(cbv), where=cbf > 0)
    return Residue(cbf, cbv, mtt, tmax, z, used)


def kept(aif: Array, threshold: float) -> Array:
    """Return which of the n + 1 frequencies of the padded AIF are kept, shape (n + 1,), bool."""
    singular = np.abs(np.fft.rfft(aif, 2 * aif.size))
    return singular >= threshold * singular.max()


def inverse(aif: Array, keep: Array, lags_s: Array, *, step_s: float) -> Array:
    """Return the matrix that turns a curve into its residue function times CBF.

    Parameters
    ----------
    aif : ndarray, shape (n,)
    keep : ndarray, shape (n + 1,), bool
        Frequencies of the 2n points that are kept.
    lags_s : ndarray, shape (m,)
        Any times; those from n · step_s on are those that wrapped around.

    Returns
    -------
    ndarray, shape (n, m)
        ``curves @ inverse`` is in 1/s. At the lags 0, step_s, … this is the pseudo-inverse of the 2n × 2n
        circulant matrix.
    """
    n = aif.size
    k = np.flatnonzero(keep)
    omega = np.pi * k / n
    twice = np.where((k == 0) | (k == n), 1.0, 2.0) / (2 * n * step_s)
    spectrum = np.fft.rfft(aif, 2 * n)[k]
    sampled = np.exp(-1j * np.outer(np.arange(n), omega)) * (twice / spectrum)
    return (sampled @ np.exp(1j * np.outer(omega, lags_s / step_s))).real


def ideal(n: int, keep: Array, lags_s: Array, mtt_s: Array, *, step_s: float, convolution: str) -> Array:
    """Return what the kept frequencies leave of R(t) = exp(−t/MTT), shape (n_mtt, m); see `deconvolve`."""
    k = np.flatnonzero(keep)
    omega = np.pi * k / (n * step_s)
    rate = 1 / np.asarray(mtt_s)[:, None] + 1j * omega
    response = 1 / rate if convolution == "continuous" else step_s / (1 - np.exp(-rate * step_s))
    twice = np.where((k == 0) | (k == n), 1.0, 2.0) / (2 * n * step_s)
    return ((response * twice) @ np.exp(1j * np.outer(omega, lags_s))).real


class _Filter:
    """One set of kept frequencies: the matrix, and what it makes of ideal residue functions."""

    def __init__(self, matrix: Array, model: Array, step_s: float, first_s: float, search: int,
                 width_s: float, noise: Array) -> None:  # fmt: skip
        spread = np.sqrt((matrix[:, :search] ** 2).sum(axis=0).mean())
        self.matrix = np.hstack([matrix, spread * noise]).astype(np.float32)
        self.step_s, self.first_s = step_s, first_s
        self.search, self.lags, self.width = search, matrix.shape[1], width_s / step_s
        late, gain, share = self._peaks(model)
        share = np.maximum.accumulate(share)
        self.least = share[0]
        self.per_width = (N_WIDTHS - 1) / max(share[-1] - share[0], 1e-9)  # one frequency: one width
        widths = np.linspace(share[0], share[-1], N_WIDTHS)
        self.late, self.gain = (np.interp(widths, share, one).astype(np.float32) for one in (late, gain))

    def _peaks(self, residue: Array) -> tuple[Array, Array, Array]:
        """Return place (s) and height of the peak, and the mean after it over its height."""
        flat, rows = residue.ravel(), np.arange(residue.shape[0]) * residue.shape[1]
        inner = residue[:, : self.search].argmax(axis=1)
        np.clip(inner, 1, self.search - 2, out=inner)
        before, top, after = (flat.take(rows + inner + k) for k in (-1, 0, 1))
        bend = 2 * top - before - after
        shift = 0.5 * np.divide(after - before, bend, out=np.zeros_like(bend), where=bend > 0)
        # A maximum at the border of the search is no peak; its place is the border.
        shift = np.clip(shift, -1, 1)
        height = top + 0.25 * (after - before) * shift
        mean = np.zeros_like(height)
        for part in (np.arange(WIDTH_PLACES) + 0.5) / WIDTH_PLACES:
            place = shift + np.float32(self.width * part)
            left = np.floor(place)
            at = rows + inner + left.astype(np.int64)
            low = flat.take(at)
            mean += low + (flat.take(at + 1) - low) * (place - left)
        share = np.divide(mean, WIDTH_PLACES * height, out=np.zeros_like(mean), where=height > 0)
        return self.first_s + self.step_s * (inner + shift), height, share

    def measure(self, curves: Array) -> tuple[Array, Array, Array, Array]:
        """Return place, height and width of the peak of each curve, and its height by its noise."""
        product = curves @ self.matrix
        delay, height, share = self._peaks(product)
        noise = np.sqrt(np.einsum("ij,ij->i", product[:, self.lags :], product[:, self.lags :]))
        return delay, height, share, np.divide(height, noise, out=np.zeros_like(noise), where=noise > 0)

    def bias(self, share: Array) -> tuple[Array, Array]:
        """Return by how much the peak of such a width comes late (s), and its height by the true one."""
        place = np.clip((share - self.least) * self.per_width + 0.5, 0, N_WIDTHS - 1).astype(np.int64)
        return self.late.take(place), self.gain.take(place)


class _Filters:
    """The filters of one AIF by threshold, each made when it is first needed."""

    def __init__(self, aif: Array, step_s: float, search_s: Sequence[float], width_s: float,
                 mtt_range_s: Sequence[float], convolution: str) -> None:  # fmt: skip
        self.aif, self.step_s, self.convolution = aif, step_s, convolution
        fine, n = step_s / LAGS_PER_STEP, aif.size
        low = max(int(np.floor(search_s[0] / fine)), -n * LAGS_PER_STEP)
        high = min(int(np.ceil(search_s[1] / fine)), n * LAGS_PER_STEP)
        self.fine, self.search, self.width_s = fine, high - low + 1, width_s
        self.lags_s = np.arange(low, high + int(np.ceil(width_s / fine)) + 2) * fine
        self.mtt_s = np.geomspace(mtt_range_s[0], mtt_range_s[1], N_MTT)
        k = np.arange(n, int(NOISE_FROM * n), -2)  # the others are no more than these once more
        phase = np.pi * np.outer(np.arange(n), k) / n
        self.noise = np.hstack([np.cos(phase), np.sin(phase)]) / np.sqrt(n * k.size)
        self._made: dict[float, _Filter] = {}
        self._rough: dict[float, Array] = {}

    def __getitem__(self, threshold: float) -> _Filter:
        if threshold not in self._made:
            keep = kept(self.aif, threshold)
            matrix = inverse(self.aif, keep, self.lags_s, step_s=self.step_s)
            model = ideal(self.aif.size, keep, self.lags_s, self.mtt_s, step_s=self.step_s,
                          convolution=self.convolution)  # fmt: skip
            self._made[threshold] = _Filter(
                matrix, model, self.fine, self.lags_s[0], self.search, self.width_s, self.noise
            )
        return self._made[threshold]

    def of(
        self, curves: Array, method: str, threshold: float, limit: float, lowest: float
    ) -> Iterator[tuple[Array, float]]:
        """Return the rows of each threshold that is used."""
        if method == "cSVD":
            yield np.arange(curves.shape[0]), threshold
            return
        candidates = self._candidates(lowest)
        low, high = np.zeros(curves.shape[0], dtype=int), np.full(curves.shape[0], candidates.size - 1)
        while (open_ := low < high).any():
            middle = (low + high) // 2
            for one in np.unique(middle[open_]):
                rows = np.flatnonzero(open_ & (middle == one))
                calm = self._oscillation(curves[rows], float(candidates[one])) <= limit
                high[rows[calm]] = one
                low[rows[~calm]] = one + 1
        for one in np.unique(high):
            yield np.flatnonzero(high == one), float(candidates[one])

    def _candidates(self, lowest: float) -> Array:
        """Return the thresholds from the lowest on, in steps of 0.01, that keep different frequencies."""
        steps = np.arange(round(100 * lowest), 100) / 100
        counts = [kept(self.aif, one).sum() for one in steps]
        return steps[np.append(np.diff(counts) != 0, True)]

    def _oscillation(self, curves: Array, threshold: float) -> Array:
        """Return Wu's oscillation index, the mean modulus of the second difference by the maximum."""
        if threshold not in self._rough:
            lags = np.arange(2 * self.aif.size) * self.step_s
            matrix = inverse(self.aif, kept(self.aif, threshold), lags, step_s=self.step_s)
            self._rough[threshold] = matrix.astype(np.float32)
        residue = curves @ self._rough[threshold]
        rough = np.abs(np.diff(residue, 2, axis=1)).sum(axis=1) / residue.shape[1]
        peak = residue.max(axis=1)
        return np.divide(rough, peak, out=np.full_like(rough, np.inf), where=peak > 0)
