"""The side of a rule's script that knows Snakemake: threads, log, lock, record, images."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from reperfuse.core.claim import announced
from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.files import PARTIAL, is_whole, read_json_or, write_marker
from reperfuse.core.kept import Kept
from reperfuse.core.participants import cohort_of
from reperfuse.core.plan import VARIABLE
from reperfuse.core.records import digests_of, key_of, name_of, read_record, write_record
from reperfuse.core.reruns import aside

PATIENCE_S = 10.0
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


class Job:
    """One run of a rule's script.

    Made before any numerical library is imported, because those read the number of threads once. Used as a
    context, it writes the rule's record when the block ends and an empty marker for each other output that was
    not written; a :class:`Refusal` ends the block, is recorded, and the job succeeds. Any other exception is a
    defect of the program and fails the job.

    A patient's step names one output to Snakemake, its record; the images that the record lists lie beside it. A job
    that had already finished, but whose record Snakemake removed with those of its group, or did not see written,
    ends here at once: see `reperfuse.core.kept`.

    Parameters
    ----------
    snakemake : object
        What Snakemake gives a script. ``output.record`` is the record; ``input.records`` are the records of the
        results before. The wildcard ``sub`` names the patient, the wildcard ``external`` an external cohort,
        ``chunk`` some patients of any, ``part`` a network of a study that is trained by itself, ``fold`` or
        ``trial`` a fold of the study that the rule's name begins with; without any the job is about the main cohort.

    Attributes
    ----------
    cohort : str
        External cohort that the job is about; empty for the main one.
    bids_dir : Path
        Dataset of that cohort.
    """

    def __init__(self, snakemake: Any) -> None:
        for variable in THREAD_VARIABLES:
            os.environ[variable] = str(snakemake.threads)
        os.environ["ANTS_RANDOM_SEED"] = "1"
        log = _locked(snakemake.log[0]) if snakemake.log else None
        _end_if_succeeded(snakemake.config)
        self.snakemake = snakemake
        self.folder = Path(snakemake.output.record).parent
        self.input, self.output = snakemake.input, snakemake.output
        self.cfg: dict[str, Any] = dict(snakemake.params.get("cfg") or {})
        self.src: Any = snakemake.params.get("src")
        external, about = (
            snakemake.config.get("external_cohorts", {}),
            snakemake.wildcards.get("external", ""),
        )
        parted = snakemake.wildcards.get("part", snakemake.wildcards.get("chunk", "cohort"))
        if fold := snakemake.wildcards.get("fold", snakemake.wildcards.get("trial")):
            parted = f"{snakemake.rule.partition('_')[0]}/{fold}"
        whole = f"external/{about}" if about else parted
        self.participant_id: str = snakemake.wildcards.get("sub", whole)
        self.cohort = about or cohort_of(self.participant_id, external)
        dataset = external[self.cohort] if self.cohort else snakemake.config
        self.bids_dir = Path(dataset["bids_dir"])
        self.sessions: dict[str, str] = dict(dataset["sessions"])
        self.all_records = [read_record(path) for path in snakemake.input.get("records", [])]
        self.records = {record["step"]: record for record in self.all_records}
        self.faults: list[Fault] = []
        self.facts: dict[str, Any] = {}
        self._written: list[Path] = []
        self._kept: Kept | None = None
        if snakemake.wildcards.get("sub") and list(snakemake.output) == [snakemake.output.record]:
            self._kept = Kept(self.folder.parent, f"{self.participant_id}.{snakemake.rule}")
            if self._kept.restore(Path(snakemake.output.record), key_of(self.digests)):
                print("Finished before, by a job whose record had been removed: taken as it is.", file=log)
                raise SystemExit(0)
        if log:
            log.truncate(0)
            sys.stdout = sys.stderr = log

    @property
    def digests(self) -> dict[str, Any]:
        """What the results of this job are made from."""
        after = {name_of(record): record["key"] for record in self.all_records}
        return digests_of(self.cfg, self.snakemake.params.code, self.src, after)

    @property
    def session_ids(self) -> dict[str, str]:
        """``ses-…`` of each visit; empty for a dataset without sessions."""
        return {visit: f"ses-{label}" for visit, label in self.sessions.items()}

    def facts_of(self, step: str) -> dict[str, Any]:
        """Return what a step before measured; empty where the patient did not go through it."""
        return dict(self.records[step]["facts"]) if step in self.records else {}

    def note(self, faults: Iterable[Fault], session_id: str = "") -> None:
        """Keep findings, saying whose they are."""
        self.faults += [fault.of(self.participant_id, session_id) for fault in faults]

    def sidecar(self, **fields: Any) -> dict[str, Any]:
        """Return an image's sidecar: its own fields and the digests that tell whether it is current."""
        digests = self.digests
        made = {"Step": self.snakemake.rule, "Key": key_of(digests), **digests}
        return {**fields, "GeneratedBy": {"Name": "reperfuse", **made}}

    def uri(self, name: str) -> str:
        """Return how a sidecar refers to another image of the patient."""
        return f"bids::work/{self.participant_id}/{name}.nii.gz"

    def files_of(self, *steps: str) -> list[Path]:
        """Return what steps before have written, of every patient that the job is about.

        Raises
        ------
        RuntimeError
            Some are gone or have another size. Their records are removed, so that the next run makes them again.
        """
        records = zip(self.snakemake.input.get("records", []), self.all_records, strict=True)
        listed = {
            Path(path).with_name(name): (size, path)
            for path, record in records
            if record["step"] in steps
            for name, size in record["files"].items()
        }
        lost = [file for file, (size, _) in listed.items() if not is_whole(file, size)]
        until = time.monotonic() + PATIENCE_S  # another computer may have written them a moment ago
        while lost and time.monotonic() < until:
            time.sleep(1)
            lost = [file for file in lost if not is_whole(file, listed[file][0])]
        for file in lost:
            Path(listed[file][1]).unlink(missing_ok=True)
        if lost:
            size, path = listed[lost[0]]
            raise RuntimeError(
                f"{lost[0]} is not there with the {size} bytes that {path} says ({len(lost)} such files in all); "
                "the records that list them were removed: run again to have them made again"
            )
        return list(listed)

    def images_of(self, *steps: str, only: Container[str] | None = None) -> dict[str, Path]:
        """Return the images that steps before have written of a patient, by name."""
        found = {_stem(path): path for path in self.files_of(*steps) if path.name.endswith(".nii.gz")}
        return {name: path for name, path in found.items() if only is None or name in only}

    def file(self, name: str) -> Path:
        """Return where a file is written that the record will list."""
        self._written.append(self.folder / name)
        return self._written[-1]

    def image(self, name: str) -> Path:
        """Return where an image is written that the record will list."""
        return self.file(f"{name}.nii.gz")

    def __enter__(self) -> Self:
        aside(self.output.record).unlink(missing_ok=True)
        if self._kept:
            self._kept.forget()
        for sidecar in self.folder.glob(
            "*.json"
        ):  # what an earlier run of this step wrote must not outlive it
            if _step_of(sidecar) == self.snakemake.rule:
                sidecar.with_suffix(".nii.gz").unlink(missing_ok=True)
                sidecar.unlink()
        if self._kept:  # nobody else writes here now
            for partial in self.folder.glob(f"{PARTIAL}*"):
                partial.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Refusal):
            self.note([error.fault])
        elif error is not None:
            return False
        for path in map(Path, self.output):
            if not path.exists() and path != Path(self.output.record):
                write_marker(path)
        write_record(
            self.output.record,
            participant_id=self.participant_id,
            step=self.snakemake.rule,
            faults=self.faults,
            facts=self.facts,
            digests=self.digests,
            files={path.name: path.stat().st_size for path in self._written if path.exists()},
        )
        for fault in self.faults:
            print(fault.sentence)
        if self._kept:
            self._kept.keep(Path(self.output.record))
        return True


def _locked(path: str) -> IO[str]:
    """Return a log that no other process has, once it is free; it is let go when this process ends.

    The orphan of a run that was killed may still be at work, and what it writes last would be of another day. Where
    the file system has no locks, go on without.
    """
    log = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 (until the end)
    with contextlib.suppress(OSError):
        try:
            fcntl.lockf(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            said = f"{path}: an earlier job is still at work on this; waiting until it has ended."
            print(said, file=sys.stderr, flush=True)
            fcntl.lockf(log, fcntl.LOCK_EX)
    return log


def _end_if_succeeded(config: Mapping[str, Any]) -> None:
    """End a job whose run was killed if one with another plan has begun since: its result would be of another day."""
    _, plan = announced(Path(config.get("output_dir", ""), "work"))
    mine = os.environ.get(VARIABLE, plan)
    if plan and os.path.basename(plan) != os.path.basename(mine):
        sys.exit(
            "The run that has submitted this job was killed, and another one has begun: nothing is written."
        )


def _step_of(sidecar: Path) -> Any:
    found = read_json_or(sidecar, {})
    made = found.get("GeneratedBy") if isinstance(found, dict) else None
    return made.get("Step") if isinstance(made, dict) else None


def _stem(path: Path) -> str:
    return path.name.removesuffix(".nii.gz")
