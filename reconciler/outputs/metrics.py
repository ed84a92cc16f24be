"""`GET /metrics` and `metrics.prom`: counters of this process, and what the state says now (CONTRACT.md 5)."""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from reconciler import __version__
from reconciler.core.facts import Ended, Fact, Finished, Settled, Started
from reconciler.core.model import INSTALLATION, TargetId
from reconciler.outputs import files, target_metrics
from reconciler.ports.database import opened
from reconciler.ports.output import Setting
from reconciler.ports.source import HeldReason

TEXTFILE_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 60.0
"""Between two textfiles when nothing happened but time."""
_LONG: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)
_SHORT: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600)
_KINDS: Final = ("Administrator", "Calendar", "Domain", "Installation", "Job", "Planning", "RunRequest")
PHASES: Final = ("load", "apply", "round")


def make(setting: Setting) -> Metrics:
    return Metrics(setting)


class Metrics:
    """What this process counts, and the page with all of it. Any thread may ask for the page."""

    def __init__(self, setting: Setting) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._path = setting.state / "metrics.prom"
        self._state = setting.state / "state.db"
        self._database = setting.database
        self._most = setting.metrics_max_targets
        self._lock = threading.Lock()
        self._block = zlib.compress(b"")
        """What was last said of targets; of ten thousand targets 3 MB, packed a twentieth."""
        self._stale = True
        self._happened = True
        self._finished: list[tuple[TargetId, Finished]] = []
        self._started: list[tuple[TargetId, Started]] = []
        self._write_at = 0.0
        self._writer: threading.Thread | None = None
        self.registry = CollectorRegistry()
        self._make_counters()
        ProcessCollector(registry=self.registry)
        self.registry.register(_State(self._state))

    def _make_counters(self) -> None:
        own: dict[str, Any] = {"namespace": "reconciler", "registry": self.registry}
        Gauge("build_info", "The version that runs.", ["version"], **own).labels(__version__).set(1)
        self._tick = Gauge(
            "scheduler_last_tick_timestamp_seconds", "When it was last decided what runs.", **own
        )
        labels = ["domain", "trigger", "state", "reason"]
        self._runs = Counter("runs", "Runs that are over, and slots that started none.", labels, **own)
        self._runs.labels(INSTALLATION, "schedule", "success", "")
        self._duration = Histogram("run_duration_seconds", "From start to end.", buckets=_LONG, **own)
        self._delay = Histogram("run_start_delay_seconds", "From wanted to started.", buckets=_SHORT, **own)
        self._lines = Counter("log_lines", "Lines in the logs of ended attempts.", ["level"], **own)
        for level in ("progress", "info", "warning", "error"):
            self._lines.labels(level)
        self._phases = Histogram(
            "reconcile_duration_seconds", "How long reconciling takes.", ["phase"], **own
        )
        for phase in PHASES:
            self._phases.labels(phase)
        self._watch_errors = Counter("watch_errors", "Looks at the source that failed.", ["reason"], **own)
        for reason in HeldReason:
            self._watch_errors.labels(str(reason))
        self._resyncs = Counter("resyncs", "Looks at the whole source.", ["trigger"], **own)
        for trigger in ("start", "event", "interval", "command", "sync"):
            self._resyncs.labels(trigger)

    def phase(self, name: str, seconds: float) -> None:
        """Note how long a phase of reconciling took."""
        self._phases.labels(name).observe(seconds)

    def resync(self, trigger: str) -> None:
        """Note a look at the whole source, and what caused it."""
        self._resyncs.labels(trigger).inc()

    def watch_error(self, reason: str) -> None:
        """Note a look at the source that failed; the reason is a word, never a message."""
        self._watch_errors.labels(reason).inc()

    def changed(self, targets: set[TargetId]) -> None:
        self._stale = self._happened = True

    def recorded(self, facts: Sequence[tuple[TargetId, Fact]]) -> None:
        self._stale = self._happened = True
        for target, fact in facts:
            match fact:
                case Ended():
                    others = fact.lines - fact.infos - fact.warnings - fact.errors
                    counts = {
                        "progress": others,
                        "info": fact.infos,
                        "warning": fact.warnings,
                        "error": fact.errors,
                    }
                    for level, count in counts.items():
                        self._lines.labels(level).inc(max(0, count))
                case Settled():
                    domain = target.domain or INSTALLATION
                    self._runs.labels(domain, "schedule", fact.state, fact.reason).inc(fact.count)
                case Finished():
                    self._finished.append((target, fact))
                case Started(attempt=1):
                    self._started.append((target, fact))

    def flush(self, now: float, seconds: float) -> float | None:
        self._tick.set(now)
        self._count_runs()
        due = self._write_at + (0.0 if self._happened else IDLE_SECONDS - TEXTFILE_SECONDS)
        if now < due:
            return due - now
        if self._writer is None or not self._writer.is_alive():
            # Thousands of targets take a while: not in the thread that decides.
            self._happened = False
            self._write_at = now + TEXTFILE_SECONDS
            self._writer = threading.Thread(target=self._write, name="metrics.prom", daemon=True)
            self._writer.start()
        return TEXTFILE_SECONDS

    def close(self) -> None:
        if self._writer is not None:
            self._writer.join()
        self._count_runs()
        self._write()

    def page(self) -> bytes:
        """The whole page in the text format."""
        own: bytes = generate_latest(self.registry)
        with self._lock:
            if self._stale:
                self._stale = False
                with opened(self._state) as database:
                    self._block = zlib.compress(target_metrics.block(database, self._most), level=1)
            return own + zlib.decompress(self._block)

    def _write(self) -> None:
        try:
            files.put(self._path, self.page())
        except (OSError, sqlite3.Error):
            # A full disk: the next one is due in a moment, and a stale textfile shows in its mtime.
            return

    def _count_runs(self) -> None:
        finished, self._finished = self._finished, []
        for target, fact in finished:
            row = self._run(target, fact.run)
            if row is None:
                continue
            trigger, _, started = row
            domain = target.domain or INSTALLATION
            self._runs.labels(domain, trigger, fact.state, fact.reason).inc()
            if started is not None:
                self._duration.observe(max(0.0, fact.at.timestamp() - started))
        began, self._started = self._started, []
        for target, start in began:
            row = self._run(target, start.run)
            if row is not None and row[1] is not None:
                self._delay.observe(max(0.0, start.at.timestamp() - row[1]))

    def _run(self, target: TargetId, run: str) -> tuple[str, float | None, float | None] | None:
        row: tuple[str, float | None, float | None] | None = self._database.execute(
            "SELECT trigger, queued, started FROM runs WHERE job = ? AND domain = ? AND run = ?",
            (*target, run),
        ).fetchone()
        return row


class _State(Collector):
    """What is counted in the state itself, so that a restart does not begin at zero."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterator[Metric]:
        with opened(self._path) as database:
            yield from self._source(database)
            yield from self._counts(database)

    def _source(self, database: sqlite3.Connection) -> Iterator[Metric]:
        row = database.execute("SELECT value FROM meta WHERE key = 'source'").fetchone()
        source: dict[str, Any] = json.loads(row[0]) if row else {}
        rejected: dict[str, int] = {}
        for (text,) in database.execute("SELECT rejected FROM files WHERE rejected != ''"):
            found = json.loads(text)
            reason = str(found[0].get("code", "")) if found else ""
            rejected[reason] = rejected.get(reason, 0) + 1
        fine = bool(source.get("appliedAt")) and not (source.get("held") or source.get("refused") or rejected)
        yield _gauge("config_last_reload_successful", "Whether all of the source is applied.", int(fine))
        applied = source.get("appliedAt")
        at = datetime.fromisoformat(applied).timestamp() if applied else 0.0
        yield _gauge("config_last_reload_success_timestamp_seconds", "When the source was last applied.", at)
        info = GaugeMetricFamily("reconciler_source_info", "What is applied.", labels=["mode", "revision"])
        info.add_metric([str(source.get("mode", "")), str(source.get("revision", ""))], 1)
        yield info
        family = GaugeMetricFamily(
            "reconciler_rejected_files", "Files kept at their last good.", labels=["reason"]
        )
        for reason, count in sorted(rejected.items()):
            family.add_metric([reason], count)
        yield family
        yield _gauge("prune_blocked", "Whether removals wait for approval.", int(bool(source.get("prune"))))

    def _counts(self, database: sqlite3.Connection) -> Iterator[Metric]:
        objects = GaugeMetricFamily("reconciler_objects", "Documents in force.", labels=["kind", "state"])
        known = {
            (kind, held): count
            for kind, held, count in database.execute(
                "SELECT kind, held != '', count(*) FROM objects GROUP BY kind, held != ''"
            )
        }
        for kind in _KINDS:
            objects.add_metric([kind, "applied"], known.get((kind, 0), 0))
            objects.add_metric([kind, "held"], known.get((kind, 1), 0))
        yield objects
        running = GaugeMetricFamily("reconciler_runs_running", "Runs in progress.", labels=["domain"])
        queue, total = 0, 0
        for domain, count, queued in database.execute(
            "SELECT domain, sum(running), sum(queued) FROM targets WHERE running > 0 OR queued > 0 GROUP BY domain"
        ):
            running.add_metric([domain or INSTALLATION], count)
            queue, total = queue + queued, total + 1
        if not total:
            running.add_metric([INSTALLATION], 0)
        yield running
        yield _gauge("run_queue_length", "Runs that wait.", queue)
        drifted = database.execute("SELECT count(*) FROM targets WHERE drift != ''").fetchone()[0]
        yield _gauge("targets_drifted", "Targets with a local override.", drifted)
        yield _counter(
            "run_requests", "Run requests handled.", "outcome", ("accepted", "refused", "expired"),
            database.execute("SELECT outcome, count(*) FROM tokens GROUP BY outcome"),
        )  # fmt: skip
        row = database.execute("SELECT value FROM meta WHERE key = 'delivery'").fetchone()
        delivery: dict[str, Any] = json.loads(row[0]) if row else {}
        yield _counter(
            "reports", "Letters sent, given up, and tries that failed.", "result", ("sent", "given-up", "failed"),
            delivery.get("counts", {}).items(),
        )  # fmt: skip
        yield _gauge(
            "reports_blocked", "Whether reports cannot leave at the moment.", bool(delivery.get("problems"))
        )


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"reconciler_{name}", about, value=value)


def _counter(name: str, about: str, label: str, zeros: Sequence[str], rows: Any) -> Metric:
    family = CounterMetricFamily(f"reconciler_{name}", about, labels=[label])
    counts = {**dict.fromkeys(zeros, 0), **dict(rows)}
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
