"""Fetch the published weights: ``python -m reperfuse.learning.fetch TARGET [REVISION]``. Needs the network."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from reperfuse.core.errors import ConfigError, Refusal
from reperfuse.core.files import read_json_or
from reperfuse.learning.weights import card_path, convert

# Beside the library in a checkout; inside the package where it was installed.
_HERE = Path(__file__).resolve()
MANIFESTS = (
    _HERE.parents[3] / "resources" / "weights.toml",
    _HERE.parents[1] / "_workflow" / "resources" / "weights.toml",
)
COMMIT = re.compile("[0-9a-f]{40}")


def manifest() -> dict[str, str]:
    """Return what ``resources/weights.toml`` says of the encoder's weights."""
    path = next((path for path in MANIFESTS if path.is_file()), None)
    if path is None:
        raise ConfigError("resources/weights.toml is not beside the library; install the package again")
    found: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8"))["resnet50"]
    return found


def fetch(target: Path, *, repo: str, filename: str, revision: str) -> dict[str, Any]:
    """Download a checkpoint from the Hugging Face hub and convert it.

    The revision is resolved to a commit, and the commit and the checksums are recorded in the card beside
    ``target``. Where a card is already there, its commit is fetched, whatever ``revision`` names, and the file
    must be the one that was recorded.

    Parameters
    ----------
    target : Path
        Ends in ``.safetensors``.
    repo, filename, revision : str
        Repository, file, and branch, tag or commit.

    Returns
    -------
    dict
        The card; see `reperfuse.learning.weights.convert`.

    Raises
    ------
    ConfigError
        If ``huggingface_hub`` is not installed or the hub does not answer.
    Refusal
        E200 if the file is another than the card records; E201 if it holds other tensors.
    """
    known = read_json_or(card_path(target), {})
    known = known if isinstance(known, dict) else {}
    pinned = str(known.get("revision", ""))
    pinned = pinned if COMMIT.fullmatch(pinned) else ""
    if pinned and (known.get("repository"), known.get("filename")) != (repo, filename):
        raise Refusal("E200", card_path(target).name, why=f"it is the card of {known.get('repository')}, "
                      f"{known.get('filename')}", needed=f"{repo}, {filename}, or another target")  # fmt: skip
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        raise ConfigError(
            f"huggingface_hub is not installed; install it (pip install huggingface_hub), or download {filename} from "
            f"https://huggingface.co/{repo} and convert it (python -m reperfuse.learning.weights {filename} "
            f"{target.name})"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        try:
            commit = pinned or str(hub.HfApi().model_info(repo, revision=revision).sha)
            if not COMMIT.fullmatch(commit):
                raise ValueError(f"{commit} is not a commit")
            got = Path(hub.hf_hub_download(repo, filename, revision=commit, local_dir=folder))
        # The hub's errors are its HTTP library's, which differ between versions.
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0][:160]
            raise ConfigError(f"{repo} could not be fetched ({type(error).__name__}: {reason})") from error
        found = hashlib.sha256(got.read_bytes()).hexdigest()
        if pinned and found != known.get("source_sha256"):
            raise Refusal("E200", filename, why=f"its sha256 is {found}",
                          needed=f"{known.get('source_sha256')}, as {card_path(target).name} records")  # fmt: skip
        return convert(got, target, card={"repository": repo, "revision": commit, "filename": filename})


def main(arguments: list[str] | None = None) -> int:
    """Fetch the weights that ``resources/weights.toml`` names."""
    parser = argparse.ArgumentParser(prog="python -m reperfuse.learning.fetch", description=main.__doc__)
    parser.add_argument("target", type=Path, help="for example weights/resnet50.safetensors")
    parser.add_argument("revision", nargs="?", help="branch, tag or commit; the manifest's otherwise")
    options = parser.parse_args(arguments)
    try:
        entry = manifest()
        card = fetch(
            options.target,
            repo=entry["repository"],
            filename=entry["filename"],
            revision=options.revision or entry["revision"],
        )
    except (ConfigError, Refusal) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{card['repository']} at {card['revision']}: {card['n_keys']} tensors, sha256 {card['sha256']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
