"""Write the synthetic cohort: ``python -m reperfuse.phantom BIDS_DIR TRUTH_DIR [key=value …]``."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from reperfuse.core.settings import load_schema, resolve_section
from reperfuse.phantom.dataset import write_cohort

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


def main(arguments: list[str] | None = None) -> None:
    """Write the cohort; keys are those of ``phantom.schema.yaml``."""
    parser = argparse.ArgumentParser(prog="python -m reperfuse.phantom", description=__doc__)
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("truth_dir", type=Path)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="for example n=12 seed=1")
    options = parser.parse_args(arguments)
    given = {key: yaml.safe_load(value) for key, _, value in (s.partition("=") for s in options.settings)}
    settings = resolve_section(given, load_schema(SCHEMAS, "phantom"))
    participants = write_cohort(options.bids_dir, options.truth_dir, **settings)
    print(f"{len(participants)} patients in {options.bids_dir}")


if __name__ == "__main__":
    main()
