"""TRIPOD+AI: what a report of a prediction model must say, filled in as far as a run can tell.

The checklist is that of Collins et al., BMJ 2024;385:e078378, doi 10.1136/bmj-2023-078378: 27 items, 52 with
sub-items. Numbers, sections, topics and whether an item concerns development (D) or evaluation (E) of a model
were compared with two public transcriptions of the published table 2 (PMC11019967), which agree with each
other; the paper itself was not at hand. The questions are paraphrases: the paper remains the reference.
TRIPOD+AI for Abstracts (item 2) is not broken down. A filled item says what the run knows, not that the item
is fulfilled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reperfuse.core.errors import ConfigError
from reperfuse.core.tables import read_table

COLUMNS = ("item", "section", "topic", "text", "status")
RESOURCE_COLUMNS = ("item", "section", "topic", "applies", "question", "fills", "authors")
FROM_RUN, OPEN = "from this run", "to be completed"


@dataclass(frozen=True)
class Item:
    """One item of the checklist.

    Parameters
    ----------
    item : str
        Number, with its letter.
    section, topic : str
        Where it stands in the checklist.
    applies : {"D", "E", "D;E"}
        Whether it concerns development of a model, its evaluation, or both.
    question : str
        What must be reported, in our words.
    fills : str
        Name of the fact of a run that answers it; empty where no run can.
    authors : str
        What the authors add; empty where the run knows all.
    """

    item: str
    section: str
    topic: str
    applies: str
    question: str
    fills: str
    authors: str


def read_items(path: Path) -> tuple[Item, ...]:
    """Read the checklist.

    Raises
    ------
    ConfigError
        The table lacks a column, or an item or a fact is there twice.
    """
    rows = read_table(path)
    if any(set(row) != set(RESOURCE_COLUMNS) for row in rows) or not rows:
        raise ConfigError(
            f"{path.name} must have the columns {', '.join(RESOURCE_COLUMNS)} and at least one row."
        )
    items = tuple(Item(**row) for row in rows)
    for what, names in (("item", [i.item for i in items]), ("fact", [i.fills for i in items if i.fills])):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(
                f"{path.name} has the {what} {', '.join(twice)} more than once; expected each once."
            )
    return items


def fact_names(items: Sequence[Item]) -> tuple[str, ...]:
    """Return the names of the facts that a run may give, in the order of the checklist."""
    return tuple(item.fills for item in items if item.fills)


def fill(items: Sequence[Item], facts: Mapping[str, str]) -> list[dict[str, str]]:
    """Fill in the checklist.

    Parameters
    ----------
    items : sequence of Item
        From `read_items`.
    facts : mapping
        Fact (`fact_names`) → one or more sentences. An empty text counts as absent.

    Returns
    -------
    list of dict
        Rows of ``tripod.tsv``, in the order of the checklist. Where a fact is there, the text is the fact,
        followed by what the authors still have to add; else what they have to say in full.

    Raises
    ------
    ValueError
        A fact answers no item.
    """
    unknown = sorted(set(facts) - set(fact_names(items)))
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)} fills no item; expected facts among {', '.join(fact_names(items))}."
        )
    return [_filled(item, facts.get(item.fills, "").strip()) for item in items]


def _filled(item: Item, fact: str) -> dict[str, str]:
    if fact:
        text, status = fact + (f" To add: {item.authors}" if item.authors else ""), FROM_RUN
    else:
        text, status = f"To say: {item.question}", OPEN
    return {"item": item.item, "section": item.section, "topic": item.topic, "text": text, "status": status}
