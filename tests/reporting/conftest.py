"""What a page refers to, and whether it is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

# Under importlib mode a folder of tests is not on the path, and its samples serve several modules.
sys.path.insert(0, str(Path(__file__).parent))


@dataclass
class Parsed(HTMLParser):
    """The elements, links and text of a page."""

    tags: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    without_alt: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.links += [found[name] or "" for name in ("src", "href", "xlink:href", "data") if name in found]
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "img" and not found.get("alt"):
            self.without_alt.append(str(found.get("src")))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def parse() -> Callable[[Path], Parsed]:
    """Parse a page."""

    def parsed(path: Path) -> Parsed:
        found = Parsed()
        found.feed(path.read_text(encoding="utf-8"))
        return found

    return parsed


@pytest.fixture
def broken_links(parse: Callable[[Path], Parsed]) -> Callable[[Path], list[str]]:
    """Return the links of a page that leave the folder or lead nowhere."""

    def broken(path: Path) -> list[str]:
        found = parse(path)
        lost = []
        for link in found.links:
            if link.startswith("#"):
                ok = link[1:] in found.ids
            else:
                target = (path.parent / unquote(link)).resolve()
                ok = ":" not in link and not link.startswith("/") and target.is_file()
                ok = ok and target.is_relative_to(path.parent.resolve())
            if not ok:
                lost.append(link)
        return lost

    return broken
