"""Who hears about a target: the report blocks of all that it belongs to, merged."""

from __future__ import annotations

from typing import Any, Final

from reconciler.core.plan import AddedReport, Report
from reconciler.core.units import parse_duration
from reconciler.spec.objects import SpecObject

_DEFAULT_REPORT: Final = Report()
_REPORT_FIELDS: Final = {
    "send": "send",
    "recipients": "recipients",
    "when": "when",
    "attachLog": "attach_log",
    "level": "level",
    "digest": "digest",
    "repeat": "repeat_seconds",
    "after": "after",
    "webhooks": "webhooks",
}


def merged_report(
    installation: SpecObject | None,
    domain: SpecObject | None = None,
    job: SpecObject | None = None,
    system: SpecObject | None = None,
    area: SpecObject | None = None,
) -> Report:
    """Merge the report blocks, the most specific field winning; a domain area only adds recipients."""
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source in (installation, domain, job, system):
        for name, value in ((source.spec.get("report") if source else None) or {}).items():
            field_name = _REPORT_FIELDS[name]
            merged[field_name] = _report_value(name, value)
            origins[field_name] = source.place if source else ""
    added = (area.spec.get("report") if area else None) or {}
    if area is not None and added.get("recipients"):
        when = tuple(added.get("when", _DEFAULT_REPORT.when))
        one = AddedReport(tuple(added["recipients"]), added.get("send", True), when, area.place)
        merged["added"] = (one,)
    return Report(**merged, origins=tuple(sorted(origins.items()))) if merged else _DEFAULT_REPORT


def _report_value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return parse_duration(value) if name == "repeat" else value
