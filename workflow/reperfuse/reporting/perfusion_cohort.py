"""Perfusion on the page of the cohort: each patient's volumes and rules, and who has none and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from reperfuse.reporting.pages import ABSENT, Section, findings, fragment, is_page_name
from reperfuse.reporting.perfusion_section import flag_sentences

VOLUMES = {
    "core": "Core (ml)",
    "tmax6": "Tmax > 6 s (ml)",
    "mismatch": "Mismatch (ml)",
    "tmax10": "Tmax > 10 s (ml)",
}
RATIOS = {"mismatch_ratio": "Ratio", "hir": "HIR", "cbv_index": "CBV index"}
RULES = {"defuse3": "DEFUSE 3", "extend": "EXTEND"}


def cohort_perfusion(
    records: Mapping[str, Mapping[str, Mapping[str, Any]]], pages: Collection[str]
) -> Section:
    """Return the section; empty where no patient went through the step.

    Parameters
    ----------
    records : mapping
        Participant → step → record.
    pages : collection of str
        Participants who have a page.
    """
    rows, left_out = [], []
    for who in sorted(records):
        record = records[who].get("perfusion")
        if record is None:
            continue
        facts: Mapping[str, Any] = record.get("facts") or {}
        link = f"{who}.html" if who in pages and is_page_name(who) else ""
        if (facts.get("volumes_ml") or {}).get("tmax6") is None:
            why = [one.sentence for one in findings({"perfusion": record})] or flag_sentences(facts)
            left_out.append({"who": who, "link": link, "why": " ".join(why)})
            continue
        volumes = facts["volumes_ml"]
        rows.append(
            {
                "who": who,
                "link": link,
                "volumes": [volumes.get(key) for key in VOLUMES],
                "ratios": [facts.get(key) for key in RATIOS],
                "rules": [{"True": "yes", "False": "no"}.get(str(facts.get(key)), ABSENT) for key in RULES],
                "flags": ", ".join(str(flag) for flag in facts.get("flags") or ()),
            }
        )
    if not rows and not left_out:
        return Section("Perfusion", "perfusion", "")
    heads = [*VOLUMES.values(), *RATIOS.values()]
    html = fragment(
        "cohort_perfusion.html.j2", rows=rows, left_out=left_out, heads=heads, rules=list(RULES.values())
    )
    return Section("Perfusion", "perfusion", html)
