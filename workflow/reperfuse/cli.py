"""The command ``reperfuse``, which only drives Snakemake."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from reperfuse.core.version import VERSION

DESCRIPTION = """\
From a BIDS dataset of acute ischaemic stroke MRI to checked lesion maps and a report.
For research use only: not a medical device, and not for diagnosis or treatment."""

EPILOGUE = """\
What follows `--` goes to Snakemake as it is, for instance
  reperfuse BIDS OUT --cores 8 -- --profile PATH --rerun-incomplete"""

# What the command itself sets; given again, they would silently replace it.
OWN_OPTIONS = frozenset({"-C", "--config", "--configfile", "--configfiles", "-s", "--snakefile"})


def workflow_root() -> Path:
    """Return the folder of the Snakefile: inside the installed package, or the clone that holds it."""
    package = Path(__file__).resolve().parent
    packaged = package / "_workflow"
    return packaged if packaged.is_dir() else package.parent.parent


def parser() -> argparse.ArgumentParser:
    """Return the parser of what stands before ``--``."""
    made = argparse.ArgumentParser(
        prog="reperfuse",
        description=DESCRIPTION,
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("bids_dir", help="the BIDS dataset")
    made.add_argument("output_dir", help="where the derivative dataset and the report are written")
    made.add_argument(
        "targets", nargs="*", metavar="target", help="preprocess, report, or a file (default: all)"
    )
    made.add_argument("--config", metavar="FILE", help="configuration, where the defaults do not suit")
    made.add_argument("--cores", default="all", help="number of cores (default: all)")
    made.add_argument("-n", "--dry-run", action="store_true", help="say what would run, and run nothing")
    made.add_argument("--version", action="version", version=f"reperfuse {VERSION}")
    return made


def command(arguments: Sequence[str]) -> list[str]:
    """Return the Snakemake call that arguments stand for.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name. What follows ``--`` is passed on.

    Raises
    ------
    SystemExit
        The arguments cannot be used; the reason is printed.
    """
    own, extra = list(arguments), list[str]()
    if "--" in own:
        at = own.index("--")
        own, extra = own[:at], own[at + 1 :]
    wanted = parser().parse_intermixed_args(own)
    for option in extra:
        if option.split("=")[0] in OWN_OPTIONS:
            parser().error(
                f"`{option}` cannot stand after `--`; write the keys in a file, given as --config FILE"
            )
    for path in (wanted.bids_dir, wanted.output_dir):
        if not is_plain(path):
            parser().error(f"Snakemake would misread `{path}`; rename the folder, or name it by a plain link")
    if not Path(wanted.bids_dir).is_dir():
        parser().error(
            f"{wanted.bids_dir} is not a folder; name the BIDS dataset first, then the output folder"
        )
    if wanted.config and not Path(wanted.config).is_file():
        parser().error(f"the configuration {wanted.config} is not there")
    root = workflow_root()
    call = [sys.executable, "-m", "snakemake", *wanted.targets]
    call += ["--snakefile", str(root / "Snakefile"), "--workflow-profile", str(root / "profiles/default")]
    call += ["--cores", wanted.cores, *(["--dry-run"] if wanted.dry_run else [])]
    call += ["--configfile", wanted.config or str(root / "config/config.yaml")]
    call += ["--config", f"bids_dir={wanted.bids_dir}", f"output_dir={wanted.output_dir}"]
    return call + extra


def is_plain(path: str) -> bool:
    """Whether Snakemake, which reads ``--config`` as numbers or YAML, takes a path as the text that it is."""
    try:
        float(path)
    except ValueError:
        return path not in ("True", "False", "...") and bool(
            re.fullmatch(r"[\w./]([\w .,+=@()/-]*[\w./)])?", path)
        )
    return False


def main() -> None:
    """Replace this process by Snakemake, so that signals and the exit code are Snakemake's own."""
    call = command(sys.argv[1:])
    sys.stdout.flush()
    os.execv(call[0], call)


if __name__ == "__main__":
    main()
