"""Solve environments for linux-64 and write the exact packages beside each, as conda and Snakemake take them.

`make pins` calls it where conda's channels can be reached. Snakemake then creates an environment from its pins, and
results made without them are made again. CONDA_OVERRIDE_CUDA=12.8 pins for GPUs with that CUDA on a machine without.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import yaml
from rattler import (
    Channel,
    ChannelConfig,
    MatchSpec,
    PackageRecord,
    RepoDataRecord,
    VirtualPackage,
    VirtualPackageOverrides,
    solve,
)

PLATFORM: Final = "linux-64"


async def solved(env: Path, alias: str) -> list[RepoDataRecord]:
    """Return the packages of an environment, each after those that it requires."""
    content = yaml.safe_load(env.read_text(encoding="utf-8"))
    names = (name for name in content["channels"] if name != "nodefaults")
    records = await solve(
        [Channel(name, ChannelConfig(channel_alias=alias)) for name in names],
        [MatchSpec(spec, strict=True) for spec in content["dependencies"]],
        platforms=[PLATFORM, "noarch"],
        virtual_packages=VirtualPackage.detect(VirtualPackageOverrides.from_env()),
    )
    by_name = {record.name.normalized: record for record in records}
    in_order = PackageRecord.sort_topologically([*records])
    return [by_name[record.name.normalized] for record in in_order]


def pins(records: list[RepoDataRecord]) -> str:
    """Return the text of a pin file: address and md5 of each package."""
    without = [record.url for record in records if record.md5 is None]
    if without:
        raise SystemExit(f"The channel gives no md5 of {without[0]}, so that nothing can be pinned.")
    lines = [f"{record.url}#{record.md5.hex()}" for record in records if record.md5]
    return "\n".join([f"# platform: {PLATFORM}", "@EXPLICIT", *lines, ""])


def main() -> None:
    """Pin the environments that the command names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("envs", nargs="+", type=Path, metavar="ENV.yaml")
    parser.add_argument(
        "--channel-alias", default="https://conda.anaconda.org/", help="where channels are looked for"
    )
    asked = parser.parse_args()
    for env in asked.envs:
        target = env.with_suffix(f".{PLATFORM}.pin.txt")
        target.write_text(pins(asyncio.run(solved(env, asked.channel_alias))), encoding="utf-8")
        print(target)
    sys.stdout.flush()
    os._exit(0)  # py-rattler's threads may outlive the interpreter, which then aborts


if __name__ == "__main__":
    main()
