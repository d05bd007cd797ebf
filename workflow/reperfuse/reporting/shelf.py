"""Where the figures of one patient go, and how a page refers to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from reperfuse.core.files import write_bytes
from reperfuse.reporting.figures import Picture


class Shelf:
    """Puts the figures of one patient where its page finds them.

    Parameters
    ----------
    root : Path
        Folder of the report.
    participant_id : str
        Names the folder below ``figures``.
    """

    def __init__(self, root: Path, participant_id: str) -> None:
        self.root, self.folder = root, f"figures/{participant_id}"
        self.written: list[Path] = []

    def put(self, name: str, content: bytes) -> str:
        """Write a file once, and return its address relative to the page."""
        target = self.root / self.folder / name
        if target not in self.written:
            write_bytes(target, content)
            self.written.append(target)
        return f"{self.folder}/{name}"

    def picture(self, picture: Picture | None) -> dict[str, Any] | None:
        """Write a picture, and return what the macro ``stack`` takes."""
        if picture is None:
            return None
        href = self.put(picture.name, picture.content)
        layers = [(name, Markup(path)) for name, path in picture.layers if path]
        return {"href": href, "picture": picture, "layers": layers}
