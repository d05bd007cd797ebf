"""Seeds that depend on what they are for, not on the order of work."""

from __future__ import annotations

import hashlib


def seed_of(*parts: object) -> int:
    """Return a 32-bit seed from the parts' text, the same on every machine and Python."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:4], "big")
