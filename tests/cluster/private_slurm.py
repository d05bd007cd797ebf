"""A Slurm of the tests' own: two nodes on this host, started and stopped by the scripts beside this file."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT = Path("/etc/slurm/slurm.conf")
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun")
ACCOUNTING = ("slurmdbd", "mariadbd", "sacct")
PATIENCE_S = 900
# Snakemake asks after its jobs less often than it would have to where jobs take hours.
QUICK = (
    "--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2", "--latency-wait", "20",
)  # fmt: skip


def why_not(accounting: bool) -> str:
    """Return why no Slurm can be started here; empty if one can."""
    missing = [one for one in COMMANDS + (ACCOUNTING if accounting else ()) if not shutil.which(one)]
    if missing:
        return f"{', '.join(missing)} not found: install slurm-wlm, munge, slurmdbd and mariadb-server"
    if os.geteuid() != 0:
        return "a private Slurm is started by root"
    if DEFAULT.is_file() and not DEFAULT.is_symlink():
        return f"{DEFAULT} is a file: this host belongs to a cluster"
    other = _home_of_link()
    if other and _lives(other / "run/owner.pid"):
        return f"another private Slurm runs at {other}"
    return ""


def wait_until(true: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition; fail, rather than hang, when it never comes true."""
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, f"waited {patience_s:g} s in vain for: {what}"
        time.sleep(0.2)


def _home_of_link() -> Path | None:
    return Path(os.readlink(DEFAULT)).parents[1] if DEFAULT.is_symlink() else None


def _lives(file: Path) -> bool:
    try:
        status = Path(f"/proc/{int(file.read_text())}/status").read_text()
    except (OSError, ValueError):
        return False
    return "State:\tZ" not in status


@dataclass(frozen=True)
class PrivateSlurm:
    """Nodes ``cpu1`` and ``gpu1``, partitions ``cpu`` (default) and ``gpu``, two pretend GPUs.

    Parameters
    ----------
    home : Path
        Folder of configuration, state and logs.
    accounting : bool
        Whether ``sacct`` answers.
    """

    home: Path
    accounting: bool

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.home / "etc/slurm.conf")}

    def start(self) -> None:
        """Start the daemons; what a test run that was killed has left is stopped first."""
        left = _home_of_link()
        if left:
            self._script("slurm_down.sh", left)
        (self.home / "run").mkdir(parents=True, exist_ok=True)
        (self.home / "run/owner.pid").write_text(f"{os.getpid()}\n")
        self._script("slurm_up.sh", self.home)

    def stop(self) -> None:
        """Cancel every job and stop the daemons."""
        self._script("slurm_down.sh", self.home)
        (self.home / "run/owner.pid").unlink(missing_ok=True)

    def _script(self, name: str, home: Path) -> None:
        given = {**os.environ, "SLURM_HOME": str(home), "ACCOUNTING": str(int(self.accounting))}
        # Daemons inherit the output, which must not be a pipe that somebody waits for.
        with (self.home.parent / f"{name}.log").open("a+") as log:
            done = subprocess.run(["bash", str(HERE / name)], env=given, stdout=log, stderr=log, check=False)
            log.seek(0)
            assert done.returncode == 0, log.read()

    def ask(self, *command: str) -> str:
        """Return what a command of Slurm prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self) -> dict[int, dict[str, str]]:
        """Return what Slurm says of every job since it was started, ended ones too."""
        found = {}
        for line in self.ask("scontrol", "show", "jobs", "--oneliner").splitlines():
            fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
            if "JobId" in fields:
                found[int(fields["JobId"])] = fields
        return found

    def queued(self) -> list[int]:
        """Return the jobs that are pending or running."""
        return [int(one) for one in self.ask("squeue", "--noheader", "--format=%A").split()]

    def cancel(self, *jobs: int) -> None:
        self.ask("scancel", *map(str, jobs))

    def resume_nodes(self) -> None:
        """Give every node back to the scheduler, and wait until it may be used."""
        for node in ("cpu1", "gpu1"):
            if self._state(node).startswith(("down", "drain")):
                self.ask("scontrol", "update", f"nodename={node}", "state=resume")
            wait_until(partial(self._usable, node), f"node {node}")

    def _usable(self, node: str) -> bool:
        return self._state(node) in ("idle", "mixed", "allocated")

    def _state(self, node: str) -> str:
        return self.ask("sinfo", "--noheader", "--Node", f"--nodes={node}", "--format=%T").split()[0]
