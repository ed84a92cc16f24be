"""BlueMind's jobs, as its API prints them (POST /api/job/_searchJob).

BlueMind plans by Quartz expressions: seconds first, and weekdays count from 1, Sunday. Each domain has a plan of its
own: the most frequent becomes the job's, the others Plannings. What a job does is code within BlueMind; a person has to
write its command. Past executions stay there.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from reconciler.spec.imports._changes import is_repeated
from reconciler.spec.imports._commands import unknown_command
from reconciler.spec.imports._documents import Document, File, Imported, Options, Writer, is_address
from reconciler.triggers import ScheduleError

_NO_DOMAIN = "global.virt"
_MODES = {"OPPORTUNISTIC": "automatic", "AUTOMATIC": "automatic", "SCHEDULED": "scheduled", "DISABLED": "disabled"}
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12))

Plan = tuple[str, str]
"""Our mode, and for `scheduled` the Quartz expression."""


def convert(files: Sequence[File], options: Options) -> Imported:
    """One Job for each job, a Planning for each plan that differs, and the Domains that they name."""
    writer = Writer(f"Imported from {', '.join(file.name for file in files)}")
    domains: set[str] = set()
    for file in files:
        try:
            content = json.loads(file.text)
        except (ValueError, RecursionError) as error:
            writer.remark_at(file.name, f"this is no JSON: {error}")
            continue
        jobs = content.get("values", [content]) if isinstance(content, dict) else content
        for number, job in enumerate(jobs if isinstance(jobs, list) else [], 1):
            place = f"{file.name}#{number}"
            if isinstance(job, dict) and job.get("id"):
                domains |= _convert(job, place, options, writer)
            else:
                writer.remark_at(place, "this is no job: it has no `id`")
    for domain in sorted(domains):
        writer.add("Domain", domain, "domains", ["Leave this out where the domain has a document already."])
    return writer.finish()


def _convert(source: dict[str, Any], place: str, options: Options, writer: Writer) -> set[str]:
    """Write one job; the domains that its plans name."""
    job = writer.add("Job", str(source["id"]), place, [f"{place}: {source['id']}"])
    if description := source.get("description"):
        job.spec["description"] = str(description)[:2000]
    is_global = source.get("kind") == "GLOBAL"
    if not is_global:
        job.spec["scope"] = "domain"
    job.spec |= unknown_command(str(source["id"]), job, writer)
    plans = _plans(source, job, writer)
    if not is_global:
        plans.pop(_NO_DOMAIN, None)
    usual = Counter(plans.values()).most_common(1)[0][0] if plans else ("automatic", "")
    blocks = {plan: _planning(plan, job, options, writer) for plan in sorted({usual, *plans.values()})}
    if any(block["mode"] == "automatic" for block in blocks.values()):
        # BlueMind asked such a job again and again whether it had something to do, as a probe is asked.
        job.spec["automatic"] = {"probe": {"command": ["false"], "every": "1m"}}
        writer.remark("in BlueMind it decided itself when to run: write its `probe`; until then it never runs", job)
    job.spec["planning"] = blocks[usual]
    _report(source, job, writer)
    if is_global:
        return set()
    for plan, block in blocks.items():
        named = sorted(domain for domain, each in plans.items() if each == plan)
        if plan != usual:
            planning = writer.add("Planning", f"{job.name}-{named[0]}", place)
            planning.spec = {"job": job.name, "domains": {"names": named}} | block
    return set(plans)


def _plans(source: dict[str, Any], job: Document, writer: Writer) -> dict[str, Plan]:
    plans: dict[str, Plan] = {}
    listed = source.get("domainPlanification")
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, dict):
            writer.remark(f"`{entry}` is no plan, and was left out", job)
            continue
        domain, kind = _ascii(str(entry.get("domain") or _NO_DOMAIN)), str(entry.get("kind"))
        if kind not in _MODES:
            writer.remark(f"{domain}: the plan `{kind}` is not known here, and was left out", job)
            continue
        rec = entry.get("rec")
        expression = str(rec.get("cronString") or "") if kind == "SCHEDULED" and isinstance(rec, dict) else ""
        plans[domain] = (_MODES[kind], " ".join(expression.split()))
    return plans


def _ascii(domain: str) -> str:
    try:
        return domain.lower().encode("idna").decode()
    except UnicodeError:
        return domain.lower()


def _planning(plan: Plan, job: Document, options: Options, writer: Writer) -> dict[str, Any]:
    mode, expression = plan
    if mode != "scheduled":
        return {"mode": mode}
    try:
        block = _schedule(expression)
        repeated = is_repeated(block["cron"], options.time_zone or "Europe/Paris")
    except (ScheduleError, ValueError, KeyError) as error:
        writer.remark(f"its schedule `{expression}` cannot be carried over ({error}): it is disabled", job)
        return {"mode": "disabled"}
    if options.time_zone:
        block["timeZone"] = options.time_zone
    else:
        writer.remark("BlueMind follows its machine's zone; none was given, so the domain's counts", job)
    if repeated:
        writer.remark(f"`{expression}`: what a clock change repeats ran on its second pass; here on its first", job)
    return {"mode": "scheduled", "schedule": block | {"dst": "skip"}}


def _schedule(expression: str) -> dict[str, Any]:
    """A Quartz expression as a schedule; raise ValueError where it has no equal."""
    fields = expression.split()
    if len(fields) not in (6, 7):
        raise ValueError("a Quartz expression has 6 or 7 fields")
    fields, year = [field.lower() for field in fields[:6]], fields[6] if len(fields) == 7 else "*"
    if fields[3] not in "*?" and fields[5] not in "*?":
        raise ValueError("Quartz knows no expression with both a day of the month and a day of the week")
    words = [_plain(field, *bounds) for field, bounds in zip(fields, _RANGES, strict=False)]
    words.append("*" if fields[5] in "*?" else ",".join(_weekdays(item) for item in fields[5].split(",")))
    if words[0] == "0":
        del words[0]
    return {"cron": " ".join(words)} | _years(year)


def _plain(field: str, low: int, high: int) -> str:
    """A field without weekdays: `?` is `*`, and `5/15` goes on to the end."""
    if field == "?":
        return "*"
    items = [re.sub(rf"^{low}/", "*/", item) for item in field.split(",")]
    return ",".join(re.sub(r"^(\w+)(/\d+)$", rf"\1-{high}\2", item) for item in items)


def _weekdays(item: str) -> str:
    """Part of Quartz' weekday field, by name."""
    if item == "l":
        return "sat"
    if match := re.fullmatch(r"(\w+)(l|#\d)", item):
        return _weekday(match[1]) + ("L" if match[2] == "l" else match[2])
    match = re.fullmatch(r"(\w+|\*)(?:-(\w+))?(?:/(\d+))?", item)
    if match is None:
        raise ValueError(f"`{item}` is no day of the week")
    first = 0 if match[1] == "*" else _WEEKDAYS.index(_weekday(match[1]))
    last = _WEEKDAYS.index(_weekday(match[2])) if match[2] else 6 if match[3] or match[1] == "*" else first
    if first < last and not match[3]:
        return f"{_WEEKDAYS[first]}-{_WEEKDAYS[last]}"
    count = (last - first) % 7 + 1
    return ",".join(_WEEKDAYS[(first + step) % 7] for step in range(0, count, max(1, int(match[3] or 1))))


def _weekday(word: str) -> str:
    if word in _WEEKDAYS:
        return word
    if re.fullmatch(r"[1-7]", word):
        return _WEEKDAYS[int(word) - 1]
    raise ValueError(f"`{word}` is no day of the week: Quartz counts 1 (Sunday) to 7")


def _years(year: str) -> dict[str, Any]:
    if year in ("*", "?"):
        return {}
    match = re.fullmatch(r"(\d{4})(?:-(\d{4}))?", year)
    if match is None:
        raise ValueError(f"its years `{year}` are no single range, as `from` and `until` say one")
    return {"from": f"{match[1]}-01-01", "until": f"{match[2] or match[1]}-12-31"}


def _report(source: dict[str, Any], job: Document, writer: Writer) -> None:
    recipients = [word for word in re.split(r"[\s,;]+", str(source.get("recipients") or "")) if word]
    for word in recipients:
        if not is_address(word):
            writer.remark(f"the recipient `{word}` is no mail address, and was left out", job)
    report: dict[str, Any] = {"send": bool(source.get("sendReport"))}
    if known := [word for word in recipients if is_address(word)]:
        report["recipients"] = known
    if report["send"]:
        report["when"] = ["always"]
    if report["send"] or known:
        job.spec["report"] = report
