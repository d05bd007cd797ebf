"""Claim: deconvolving a whole series takes no longer than one pseudo-inverse in NumPy, and is more accurate.

128 × 128 × 20 voxels, 60 points of 1.8 s, with delays of 0 to 10 s, MTT of 3 to 12 s, and noise of a tenth of
the lowest peak. The peer is standard SVD as it is usually written: `numpy.linalg.pinv` of the AIF's lower
triangular matrix, one product for all voxels, the maximum, its place and the area. The floor is a product of
all curves with as large a matrix, in single precision, and nothing else. The second peer is osipy 0.1.4
(cSVD), in an environment of its own that is thrown away; where none can be made, the row says so. CPU seconds
on one thread, medians.
Run: python benchmarks/deconvolution.py [voxels]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from suite import ROOT, Measured, report, run, typical

from reperfuse.core.settings import fill, load_schema
from reperfuse.perfusion.deconvolution import deconvolve

N, STEP_S, FINE_S, THRESHOLD = 60, 1.8, 0.02, 0.2
OSIPY = "osipy==0.1.4"
PYTHONS = ("python3.12", "python3.13")
THEIRS = """
import json, sys, time
import numpy as np
from osipy.dsc.deconvolution.svd import SVDDeconvolutionParams, deconvolve_cSVD
given = np.load(sys.argv[1])
curves, aif = given["curves"].reshape(128, -1, 20, 60), given["aif"]
times = 1.8 * np.arange(60)
params = SVDDeconvolutionParams(method="cSVD", threshold=0.2)
seconds = []
for _ in range(3):
    start = time.process_time()
    found = deconvolve_cSVD(curves, aif, times, params=params)
    seconds.append(time.process_time() - start)
np.savez(sys.argv[2], cbf=6000 * found.cbf.ravel(), tmax=found.delay.ravel())
print(json.dumps(sorted(seconds)[1]))
"""


def series(voxels: int) -> dict[str, np.ndarray]:
    """Return curves with known flow and delay."""
    rng = np.random.default_rng(0)
    fine = np.arange(0, N * STEP_S, FINE_S)
    since = np.maximum(fine - 15, 0) / 6
    artery = 60 * since**3 * np.exp(3 - 3 * since)
    mtt = np.linspace(3, 12, 10)
    size = 2 * fine.size
    spectrum = np.fft.rfft(artery, size)
    passages = np.stack(
        [np.fft.irfft(spectrum * np.fft.rfft(np.exp(-fine / m), size), size)[: fine.size] for m in mtt]
    )
    delay, row = rng.uniform(0, 10, voxels), rng.integers(0, mtt.size, voxels)
    cbf = rng.uniform(15, 60, voxels)
    times = np.arange(N) * STEP_S
    curves = np.empty((voxels, N), dtype=np.float32)
    for k, now in enumerate(times):
        at = np.rint((now - delay) / FINE_S).astype(int)
        curves[:, k] = np.where(at >= 0, passages[row, np.maximum(at, 0)], 0) * FINE_S * cbf / 6000
    curves += rng.normal(0, 0.1 * 15 / 6000 * FINE_S * passages[0].max(), curves.shape).astype(np.float32)
    return {"curves": curves, "aif": np.interp(times, fine, artery), "cbf": cbf, "tmax": delay}


def pseudo_inverse(curves: np.ndarray, aif: np.ndarray) -> dict[str, np.ndarray]:
    """Return the maps of standard SVD."""
    lag = np.subtract.outer(np.arange(N), np.arange(N))
    matrix = np.where(lag >= 0, aif[np.abs(lag)], 0) * STEP_S
    residue = curves @ np.linalg.pinv(matrix, rcond=THRESHOLD).T
    height = residue.max(axis=1)
    area = curves.sum(axis=1) / aif.sum()
    return {"cbf": 6000 * height, "tmax": STEP_S * residue.argmax(axis=1), "mtt": area / height}


def timed(work: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """Return the median CPU seconds, and the result."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return typical(seconds), result


def osipy(data: dict[str, np.ndarray]) -> tuple[float | None, dict[str, np.ndarray], str]:
    """Return the CPU seconds and maps of osipy, or none and why."""
    for name in PYTHONS:
        python = shutil.which(name)
        if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
            continue
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            subprocess.run([python, "-m", "venv", str(place / "env")], capture_output=True)
            inside = place / "env/bin/python"
            made = subprocess.run(
                [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", OSIPY],
                capture_output=True, text=True,
            )  # fmt: skip
            if made.returncode:
                return None, {}, f"{OSIPY} could not be installed"
            np.savez(place / "given.npz", curves=data["curves"], aif=data["aif"])
            done = run([str(inside), "-c", THEIRS, str(place / "given.npz"), str(place / "found.npz")], place)
            with np.load(place / "found.npz") as found:
                return float(json.loads(done.output.splitlines()[-1])), dict(found), ""
    return None, {}, f"{OSIPY} needs Python 3.12 or later, and there was none"


def errors(found: dict[str, np.ndarray], data: dict[str, np.ndarray]) -> tuple[float, float]:
    """Return the mean error of CBF without sign in percent, and the SD of Tmax − delay in s."""
    flow = 100 * np.abs(found["cbf"] / data["cbf"] - 1).mean()
    return float(flow), float(np.std(found["tmax"] - data["tmax"]))


def measure(voxels: int = 128 * 128 * 20) -> list[Measured]:
    """Deconvolve one series every way."""
    data = series(voxels)
    curves, aif = data["curves"], data["aif"]
    section = fill({}, load_schema(ROOT / "workflow/schemas", "perfusion_kinetics"))["deconvolution"]

    def ours(method: str) -> dict[str, np.ndarray]:
        maps = deconvolve(curves, aif, step_s=STEP_S, **{**section, "method": method})
        return {"cbf": maps.cbf, "tmax": maps.tmax_s}

    square = np.random.default_rng(0).normal(size=(N, N)).astype(np.float32)
    seconds, found = timed(lambda: ours("cSVD"))
    peer, plain = timed(lambda: pseudo_inverse(curves, aif))
    floor, _ = timed(lambda: curves @ square)
    slower, _ = timed(lambda: ours("oSVD"), repeats=1)
    what = {"size": voxels, "of": "voxels"}
    peer_is = "standard SVD, one `numpy.linalg.pinv` for all voxels (double precision, as it returns it)"
    flow, delay = errors(found, data)
    plain_flow, plain_delay = errors(plain, data)
    rows = [
        Measured(
            "deconvolution (cSVD, corrected)", seconds, "s", cpu_s=seconds, peer=peer, peer_is=peer_is,
            floor=floor, floor_is="one product 60 × 60 of all curves, single precision",
            aim="ours/peer <= 1", **what,
        ),
        Measured("deconvolution (oSVD, corrected)", slower, "s", cpu_s=slower, aim="ours <= 5", **what),
        Measured(
            "error of CBF after deconvolution", flow, "%", peer=plain_flow, peer_is=peer_is,
            aim="ours/peer <= 1", **what,
        ),
        Measured(
            "spread of Tmax − delay after deconvolution", delay, "s", peer=plain_delay, peer_is=peer_is,
            aim="ours/peer <= 1", **what,
        ),
    ]  # fmt: skip
    theirs, maps, why = osipy(data)
    remark = why
    if maps:
        their_flow, their_delay = errors(maps, {k: v[: maps["cbf"].size] for k, v in data.items()})
        remark = f"osipy's CBF is {their_flow:.0f} % off, its Tmax − delay spreads by {their_delay:.1f} s"
    rows.append(
        Measured(
            "deconvolution beside osipy", seconds, "s", cpu_s=seconds, peer=theirs,
            peer_is=f"{OSIPY}, cSVD 0.2", aim="ours/peer <= 1" if theirs else "ours <= 5", remark=remark,
            **what,
        )
    )  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(report(measure))
