"""The benchmarks as a whole: what one measurement is, and what runs them all.

    python benchmarks/suite.py [script …]      # all, or those named; the others keep their rows
    python benchmarks/suite.py --pages         # only draw the figure and write the page again

Each script beside this one judges the claim in its docstring. It has a function ``measure(…) ->
list[Measured]``, prints the ratios when it is run by itself, and runs in a process of its own here, one after
another and on one thread, so that CPU seconds mean the same everywhere. A script that fails keeps the rows
that it had and is named at the end. Writes ``benchmarks/results.tsv`` and, from nothing else,
``benchmarks/figure.svg`` and ``docs/performance.md``.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))

from reperfuse.core.tables import Row, read_table, write_table  # noqa: E402

RESULTS = ROOT / "benchmarks/results.tsv"
FIGURE = ROOT / "benchmarks/figure.svg"
PAGE = ROOT / "docs/performance.md"
HELPERS = ("page", "suite", "trees")
AIM = re.compile(r"(ours|ours/peer|ours/floor|ours-floor|floor/ours) (<=|>=) ([0-9.]+)")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}


@dataclass(frozen=True)
class Measured:
    """One quantity, measured side by side. Less is better.

    Parameters
    ----------
    name : str
        What was measured. Rows of one name and several sizes show how it grows.
    ours : float or None
        The workflow's; None where it could not be measured, and ``remark`` says why.
    unit : str
    size : int
        How large the case was, counted in ``of``.
    of : str
    peer, peer_is : float or None, str
        The usual way to do the same, and what that is.
    floor, floor_is : float or None, str
        The least that is possible here, and why.
    cpu_s : float or None
        CPU seconds that ours took for all that the row measures.
    aim : str
        For instance ``ours <= 3`` or ``ours/peer <= 0.5``; empty where nothing is claimed.
    remark : str
        What a reader must know beside the numbers.
    """

    name: str
    ours: float | None
    unit: str
    size: int
    of: str
    peer: float | None = None
    peer_is: str = ""
    floor: float | None = None
    floor_is: str = ""
    cpu_s: float | None = None
    aim: str = ""
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours by the peer's."""
        return None if self.ours is None or not self.peer else self.ours / self.peer

    @property
    def held(self) -> bool | None:
        """Whether the aim was met; None without an aim or a measurement."""
        if not self.aim or self.ours is None:
            return None
        what, sign, limit = AIM.fullmatch(self.aim).groups()  # type: ignore[union-attr]
        first, operation, second = re.fullmatch(r"(\w+)([-/]?)(\w*)", what).groups()  # type: ignore[union-attr]
        found = getattr(self, first)
        if second:
            other = getattr(self, second)
            found = found - other if operation == "-" else found / other
        return found <= float(limit) if sign == "<=" else found >= float(limit)

    def row(self) -> dict[str, object]:
        """Return the line of the table; floats keep four digits."""
        known = {**asdict(self), "ratio": self.ratio, "held": self.held, "where": where()}
        return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in known.items()}


ORDER = "name size of ours peer ratio floor cpu_s unit aim held peer_is floor_is remark where"
COLUMNS = ("script", *ORDER.split())


def measured(row: Row) -> Measured:
    """Return what a line of the table says."""
    numbers = ("ours", "peer", "floor", "cpu_s")
    known = {f.name: row[f.name] for f in fields(Measured)}
    parts = {k: (float(v) if v else None) if k in numbers else v for k, v in known.items()}
    return Measured(**{**parts, "size": int(row["size"])})  # type: ignore[arg-type]


def where() -> str:
    """Return what the numbers depend on, without saying whose machine it was."""
    return (
        f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"Snakemake {version('snakemake')}"
    )


@dataclass(frozen=True)
class Usage:
    """What a command took: CPU seconds of it and its children, peak KB of the largest, and what it printed."""

    cpu_s: float
    peak_kb: float
    output: str


def run(command: Sequence[str], folder: Path, **environment: str) -> Usage:
    """Run a command to its end; a failure ends the measurement with the command's own words."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            list(command), cwd=folder, stdout=out, stderr=err, env={**os.environ, **environment}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (out, err):
            stream.seek(0)
        printed, errors = out.read().decode(), err.read().decode()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{(printed + errors)[-3000:]}")
    return Usage(usage.ru_utime + usage.ru_stime, float(usage.ru_maxrss), printed)


def snakemake(*arguments: str) -> list[str]:
    """Return a call of Snakemake on this repository's Snakefile or, with ``--snakefile`` among them, on another."""
    own = [] if "--snakefile" in arguments else ["--snakefile", str(ROOT / "Snakefile")]
    return [sys.executable, "-m", "snakemake", *own, *arguments]


def typical(values: Iterable[float]) -> float:
    """Return the median."""
    return float(median(values))


def told(one: Measured) -> str:
    """Return a measurement as a line for the terminal."""
    if one.ours is None:
        return f"{one.name}: {one.remark}"
    parts = [f"{one.name}, {one.size} {one.of}: {one.ours:.4g} {one.unit}"]
    if one.ratio is not None:
        parts.append(f"peer {one.peer:.4g}, ratio ours/peer {one.ratio:.2f}")
    if one.floor is not None:
        parts.append(
            f"floor {one.floor:.4g}" + (f", ratio ours/floor {one.ours / one.floor:.2f}" if one.floor else "")
        )
    if one.aim:
        parts.append(f"aim {one.aim}: {'held' if one.held else 'MISSED'}")
    return "; ".join(parts) + (f" ({one.remark})" if one.remark else "")


def report(measure: Callable[..., list[Measured]]) -> int:
    """Run a script by itself: sizes from the command line; ``--rows FILE`` writes the rows too.

    Returns 1 if an aim was missed.
    """
    arguments, target = sys.argv[1:], None
    if "--rows" in arguments:
        at = arguments.index("--rows")
        target = Path(arguments[at + 1]).resolve()
        del arguments[at : at + 2]
    found = measure(*map(int, arguments))
    for one in found:
        print(told(one), flush=True)
    if target is not None:
        write_table(target, [{"script": Path(sys.argv[0]).stem, **one.row()} for one in found], COLUMNS)
    return int(any(one.held is False for one in found))


def scripts() -> list[str]:
    """Return the names of the benchmarks, sorted."""
    return sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in HELPERS)


def results() -> list[Row]:
    """Return the rows that are there."""
    return read_table(RESULTS) if RESULTS.is_file() else []


def gather(name: str, folder: Path) -> tuple[list[Row], str]:
    """Run one script in a fresh process; return its rows, or none and why."""
    target = folder / f"{name}.tsv"
    command = [sys.executable, str(ROOT / f"benchmarks/{name}.py"), "--rows", str(target)]
    began = time.monotonic()
    done = subprocess.run(command, text=True, capture_output=True, env={**os.environ, **ONE_THREAD})
    print(f"{name}, {(time.monotonic() - began) / 60:.1f} min\n{done.stdout}", flush=True)
    if target.is_file():
        return read_table(target), ""
    return [], (done.stderr or done.stdout).strip()[-2000:]


def main() -> int:
    """Run what is asked for, write the table, the figure and the page; return 1 if a script failed."""
    named = [one for one in sys.argv[1:] if one != "--pages"]
    if unknown := sorted(set(named) - set(scripts())):
        print(
            f"no benchmark is named {', '.join(unknown)}; there are {', '.join(scripts())}", file=sys.stderr
        )
        return 2
    asked = [] if "--pages" in sys.argv else named or scripts()
    failed: dict[str, str] = {}
    rows = {name: [row for row in results() if row["script"] == name] for name in scripts()}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked:
            found, why = gather(name, Path(folder))
            rows[name] = found or rows[name]
            failed |= {name: why} if why else {}
            write_table(RESULTS, [row for few in rows.values() for row in few], COLUMNS)
    from page import write_pages  # matplotlib, in no measurement

    write_pages(results(), FIGURE, PAGE)
    for name, why in failed.items():
        print(f"FAILED: benchmarks/{name}.py, whose rows are those of before:\n{why}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
