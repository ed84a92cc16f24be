"""The page of a digest: what happened in its period, and how things stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.core.report_parts import (
    ORDER,
    PHRASES,
    SUBJECT_CHARACTERS,
    Entry,
    Item,
    Page,
    Section,
    Times,
    by_kind,
    cut,
    detail,
    icon,
    span,
)


def digest_page(body: Mapping[str, Any], items: Sequence[Item], times: Times) -> Page:
    values = body["digest"]
    kinds = dict(by_kind(items))
    sections = []
    for kind in ORDER:
        found = kinds.get(kind, [])
        if found:
            title = "New failures" if kind == "failure" else PHRASES[kind].capitalize()
            entries = tuple(Entry(kind, str(item["target"]), detail(item, times)) for item in found)
            sections.append(Section(f"{title} ({len(found)})", entries=entries))
    lists = (
        ("Still failing", "failure", "failing", _still),
        (
            "Overdue",
            "overdue",
            "overdue",
            lambda item, _: "never ran" if item["never"] else str(item["message"]),
        ),
        ("Never ran yet", "skipped", "never", lambda item, _: ""),
    )
    for title, kind, name, said_of in lists:
        found = values[name]
        if found:
            count = values[f"{name}Count"]
            note = f"… and {count - len(found)} more" if count > len(found) else ""
            entries = tuple(Entry(kind, item["target"], cut(said_of(item, times))) for item in found)
            sections.append(Section(f"{title} ({count})", entries=entries, note=note))
    if values["slower"]:
        entries = tuple(
            Entry("warning", item["target"], f"took {span(item['duration'])}, usually {span(item['usual'])}")
            for item in values["slower"]
        )
        sections.append(Section("Slower than usual", entries=entries))
    news = [f"{len(found)} {PHRASES[kind]}" for kind, found in kinds.items() if kind in PHRASES]
    if values["failingCount"]:
        news.append(f"{values['failingCount']} still failing")
    if values["overdueCount"] and "overdue" not in kinds:
        news.append(f"{values['overdueCount']} overdue")
    said = ", ".join(news) or "all is well"
    period = str(body["period"]).split()[0]
    since, until = times.short(body["since"]), times.short(body["until"])
    lead = f"{values['targetCount']} targets from {since} to {until}: {said}."
    worst = next((kind for kind in ORDER if kinds.get(kind)), "failure" if values["failing"] else "success")
    return Page(
        cut(f"{icon('digest')} {period} digest: {said}", SUBJECT_CHARACTERS), worst, f"{period} digest".capitalize(),
        lead, tuple(sections),
    )  # fmt: skip


def _still(item: Item, times: Times) -> str:
    since = f"since {times.short(item['since'])}, " if item.get("since") else ""
    return f"{since}{item['failures']} in a row: {item['message']}"
