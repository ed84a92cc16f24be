"""Letters and what recipients were told, in the state's database. The caller holds the transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, Final

from reconciler.core.model import TargetId
from reconciler.ports.letters import COLLECTING, PENDING, Letter, Mention
from reconciler.views import digest as digest_view
from reconciler.views import report as report_view

_COLUMNS: Final = (
    "id, state, medium, recipient, key, run_group, due, latest, created, message_id, tries, body"
)
_FIELDS: Final = (
    "id", "state", "medium", "recipient", "key", "group", "due", "latest", "created", "message_id", "tries", "body",
)  # fmt: skip
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class LetterBox:
    """`ports.letters.Letters` over the writer's connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    # What recipients know.

    def standing(self, target: TargetId, recipient: str) -> Mapping[str, Any]:
        row = self.db.execute(
            "SELECT body FROM told WHERE job=? AND domain=? AND recipient=?", (*target, recipient)
        ).fetchone()
        return json.loads(row[0]) if row else {}

    def put_standing(self, target: TargetId, recipient: str, body: Mapping[str, Any]) -> None:
        if body:
            self.db.execute(
                "INSERT OR REPLACE INTO told VALUES (?,?,?,?)", (*target, recipient, _dumps(body))
            )
        else:
            self.db.execute("DELETE FROM told WHERE job=? AND domain=? AND recipient=?", (*target, recipient))

    # Collecting.

    def begin(self, letter: Letter) -> int:
        cursor = self.db.execute(
            "INSERT INTO letters (state, medium, recipient, key, run_group, due, latest, created, message_id, body)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)",
            (letter.state, letter.medium, letter.recipient, letter.key, letter.group, letter.due, letter.latest,
             letter.created, letter.message_id, _dumps(letter.body)),
        )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def collecting(self, medium: str, recipient: str, key: str) -> Letter | None:
        found = self._letters(
            "key=? AND recipient=? AND medium=? AND state=?", (key, recipient, medium, COLLECTING)
        )
        return found[0] if found else None

    def count_of(self, medium: str, recipient: str, key: str) -> int:
        row = self.db.execute(
            "SELECT count(*) FROM letters WHERE key=? AND recipient=? AND medium=?", (key, recipient, medium)
        ).fetchone()
        return int(row[0])

    def mention(self, letter: int, mention: Mention, together: bool) -> None:
        target, kind = mention.target, mention.kind
        values = mention.run, mention.count, _dumps(mention.body)
        if together:
            cursor = self.db.execute(
                "UPDATE letter_items SET run=?, count=count+?, body=? WHERE letter=? AND job=? AND domain=? AND kind=?",
                (*values, letter, *target, kind),
            )
            if cursor.rowcount:
                return
        self.db.execute(
            "INSERT INTO letter_items (run, count, body, letter, job, domain, kind) VALUES (?,?,?,?,?,?,?)",
            (*values, letter, *target, kind),
        )

    def mentions(self, letter: int) -> list[Mention]:
        rows = self.db.execute(
            "SELECT job, domain, run, kind, count, body FROM letter_items WHERE letter=? ORDER BY id",
            (letter,),
        )
        return [
            Mention(TargetId(job, domain), run, kind, count, json.loads(body))
            for job, domain, run, kind, count, body in rows
        ]

    def waits_for_group(self) -> bool:
        row = self.db.execute(
            "SELECT 1 FROM letters WHERE state='collecting' AND run_group != '' LIMIT 1"
        ).fetchone()
        return row is not None

    def wake_group(self, group: str, now: float) -> None:
        # `due` was moved on to `latest` when its time came and runs were still open.
        self.db.execute(
            "UPDATE letters SET due=? WHERE run_group=? AND state='collecting' AND run_group != '' AND due=latest",
            (now, group),
        )

    def ready(self, now: float, limit: int) -> list[Letter]:
        return self._letters("state='collecting' AND due<=? ORDER BY due LIMIT ?", (now, limit))

    def postpone(self, letter: int, due: float, body: Mapping[str, Any]) -> None:
        self.db.execute(
            "UPDATE letters SET due=?, latest=max(latest, ?), body=? WHERE id=?",
            (due, due, _dumps(body), letter),
        )

    def close(self, letter: int, now: float, body: Mapping[str, Any]) -> None:
        self.db.execute(
            "UPDATE letters SET state=?, due=?, body=? WHERE id=?", (PENDING, now, _dumps(body), letter)
        )

    def drop(self, letter: int) -> None:
        self.db.execute("DELETE FROM letter_items WHERE letter=?", (letter,))
        self.db.execute("DELETE FROM letters WHERE id=?", (letter,))

    # Sending.

    def pending(self, now: float, medium: str, limit: int, without: Collection[int]) -> list[Letter]:
        found = self._letters(
            "state='pending' AND due<=? AND medium=? ORDER BY due, id LIMIT ?",
            (now, medium, limit + len(without)),
        )
        return [letter for letter in found if letter.id not in without][:limit]

    def next_collecting(self) -> float | None:
        row = self.db.execute("SELECT min(due) FROM letters WHERE state='collecting'").fetchone()
        return None if row is None else row[0]

    def next_pending(self, medium: str, after: float) -> float | None:
        row = self.db.execute(
            "SELECT min(due) FROM letters WHERE state='pending' AND due>? AND medium=?", (after, medium)
        ).fetchone()
        return None if row is None else row[0]

    def settle(self, letter: int, state: str, now: float, due: float, error: str) -> None:
        sent = now if state == "sent" else None
        self.db.execute(
            "UPDATE letters SET state=?, due=?, error=?, sent=?, tries=tries+1 WHERE id=?",
            (state, due, error, sent, letter),
        )

    def give_up(self, medium: str, before: float, now: float, error: str) -> int:
        cursor = self.db.execute(
            "UPDATE letters SET state='given-up', due=?, error=? WHERE state='pending' AND medium=? AND created<?",
            (now, error, medium, before),
        )
        return cursor.rowcount

    def forget(self, before: float) -> None:
        old = "SELECT id FROM letters WHERE state IN ('sent', 'given-up') AND created < ?"
        self.db.execute(f"DELETE FROM letter_items WHERE letter IN ({old})", (before,))  # noqa: S608
        self.db.execute(f"DELETE FROM letters WHERE id IN ({old})", (before,))  # noqa: S608
        self.db.execute(
            "DELETE FROM letter_tails WHERE (job, domain, run) NOT IN (SELECT i.job, i.domain, i.run FROM letters l"
            " JOIN letter_items i ON i.letter = l.id WHERE l.state IN ('collecting', 'pending'))"
        )

    # Tails.

    def put_tail(self, target: TargetId, run: str, tail: bytes) -> None:
        self.db.execute("INSERT OR REPLACE INTO letter_tails VALUES (?,?,?,?)", (*target, run, tail))

    def has_tail(self, target: TargetId, run: str) -> bool:
        return self.db.execute(_TAIL.format("1"), (*target, run)).fetchone() is not None

    def tail(self, target: TargetId, run: str) -> bytes:
        row = self.db.execute(_TAIL.format("tail"), (*target, run)).fetchone()
        return bytes(row[0]) if row else b""

    # What there is to say.

    def run(self, target: TargetId, run: str) -> dict[str, Any]:
        return report_view.values_of(self.db, target.job, target.domain, run)

    def usual_seconds(self, target: TargetId) -> float | None:
        return report_view.usual_seconds(self.db, target.job, target.domain)

    def next_run(self, target: TargetId) -> float | None:
        row = self.db.execute("SELECT next_run FROM targets WHERE job=? AND domain=?", target).fetchone()
        return row[0] if row else None

    def open_runs(self, group: str) -> int:
        return sum(count for state, count in self.members(group).items() if state in ("queued", "running"))

    def members(self, group: str) -> dict[str, int]:
        return dict(
            self.db.execute("SELECT state, count(*) FROM runs WHERE group_id=? GROUP BY state", (group,))
        )

    def digest(self, targets: Collection[TargetId], since: float) -> dict[str, Any]:
        return digest_view.values_of(self.db, targets, since)

    def _letters(self, where: str, values: tuple[Any, ...]) -> list[Letter]:
        rows = self.db.execute(f"SELECT {_COLUMNS} FROM letters WHERE {where}", values)  # noqa: S608
        return [Letter(**{**dict(zip(_FIELDS, row, strict=True)), "body": json.loads(row[-1])}) for row in rows]


_TAIL: Final = "SELECT {} FROM letter_tails WHERE job=? AND domain=? AND run=?"
