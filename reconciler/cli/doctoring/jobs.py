"""What the applied documents need of this machine: secrets, users, limits, and a mail server that answers."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from typing import Any

from reconciler.cli.doctoring import Finding, Subject

MAIL_SECONDS = 5.0


def findings(subject: Subject) -> Iterator[Finding]:
    if subject.database is None:
        return
    yield from _secrets(subject)
    yield from _accounts(subject)
    yield from _not_ready(subject)
    yield from _source(subject)
    mail = subject.installation.get("mail")
    if mail:
        yield _mail(mail)


def _named_secrets(subject: Subject) -> dict[str, list[str]]:
    """Names of secrets, and who needs them."""
    named: dict[str, list[str]] = {}
    for job, spec in subject.jobs():
        for name in (spec.get("secrets") or {}).values():
            named.setdefault(name, []).append(job)
    password = (subject.installation.get("mail") or {}).get("passwordSecret")
    if password:
        named.setdefault(password, []).append("mail")
    for (kind, name), spec in subject.specs.items():
        for webhook in (spec.get("report") or {}).get("webhooks") or ():
            named.setdefault(webhook, []).append(f"reports of {kind} {name}")
    return named


def _secrets(subject: Subject) -> Iterator[Finding]:
    named, folder = _named_secrets(subject), subject.secrets
    if not named:
        return
    try:
        mode = stat.S_IMODE(os.stat(folder).st_mode)
    except OSError as error:
        text = f"the folder of secrets {folder} cannot be read: {error.strerror}"
        yield Finding("secrets", "error", text, "make it, or say where it is with --secrets DIR")
        return
    problems = 0
    if mode & 0o007:
        problems += 1
        yield Finding(
            "secrets", "warning", f"{folder} is open to everybody (mode {mode:o})", f"chmod o-rwx {folder}"
        )
    for name, users in sorted(named.items()):
        severity, text, help = _secret(f"{folder}/{name}", name)
        if severity:
            problems += 1
            yield Finding("secrets", severity, f"{text}, needed by {', '.join(sorted(users)[:5])}", help)
    if not problems:
        yield Finding("secrets", "ok", f"{len(named)} secrets in {folder}, all of them readable")


def _secret(path: str, name: str) -> tuple[str, str, str]:
    try:
        found = os.stat(path)
    except OSError:
        return "error", f"there is no secret `{name}`", f"put it into the file {path}"
    if not os.access(path, os.R_OK):
        return (
            "error",
            f"the secret `{name}` cannot be read by this user",
            f"see the owner and mode of {path}",
        )
    if found.st_size == 0:
        return "warning", f"the secret `{name}` is empty", f"write it to {path}"
    if found.st_mode & 0o004:
        return "warning", f"the secret `{name}` can be read by everybody", f"chmod o-r {path}"
    return "", "", ""


def _accounts(subject: Subject) -> Iterator[Finding]:
    from reconciler.engine.readiness import account_faults, limit_faults

    default = subject.installation.get("user")
    faults: dict[str, list[str]] = {}
    for job, spec in subject.jobs():
        account = account_faults(spec.get("user"), spec.get("group"), default)
        for fault in account + limit_faults(spec.get("limits") or {}):
            faults.setdefault(fault, []).append(job)
    for fault, jobs in sorted(faults.items()):
        many = f" and {len(jobs) - 3} more" if len(jobs) > 3 else ""
        help = "create it, start the reconciler as root, or change the jobs"
        yield Finding("users", "error", f"{', '.join(sorted(jobs)[:3])}{many}: {fault}", help)
    if not faults:
        yield Finding("users", "ok", "all jobs can run as they say")
    if os.geteuid() == 0 and default is None and any("user" not in spec for _, spec in subject.jobs()):
        text = "jobs that name no user run as root"
        yield Finding(
            "users", "info", text, "`user: nobody` in the Installation makes another one the default"
        )


def _not_ready(subject: Subject) -> Iterator[Finding]:
    rows = subject.rows(
        "SELECT not_ready, count(*), min(job || iif(domain = '', '', '@' || domain)) FROM targets "
        "WHERE not_ready != '' AND gone = 0 GROUP BY not_ready"
    )
    for reason, count, target in rows:
        more = f" and {count - 1} more" if count > 1 else ""
        yield Finding("targets", "error", f"{target}{more} cannot run: {reason}", "it starts once it can")


def _source(subject: Subject) -> Iterator[Finding]:
    count = (subject.rows("SELECT count(*) FROM files WHERE rejected != ''") or [(0,)])[0][0]
    if count:
        text = f"{count} files are rejected; what was good before stays in force"
        yield Finding("source", "warning", text, "`reconcile validate` shows every error")


def _mail(mail: dict[str, Any]) -> Finding:
    import smtplib

    from reconciler.notifiers.mail import server_of

    host, port, tls = server_of(mail)
    where = f"{host}:{port}"
    make = smtplib.SMTP_SSL if tls == "tls" else smtplib.SMTP
    help = "reports wait until it is; see Installation.mail, the network and the server"
    try:
        server = make(host, port, timeout=MAIL_SECONDS)
        with contextlib.closing(server):
            code, answer = server.ehlo(socket.getfqdn())
            if code != 250:
                said = answer.decode(errors="replace")
                return Finding("mail", "error", f"{where} refuses us: {code} {said}", help)
            if tls == "starttls" and not server.has_extn("starttls"):
                text = f"{where} offers no STARTTLS, and `tls: starttls` is wanted"
                return Finding("mail", "error", text, "set Installation.mail.tls to what the server can")
            if mail.get("username") and tls == "tls" and not server.has_extn("auth"):
                return Finding("mail", "warning", f"{where} offers no login, and there is a username", help)
    except (OSError, smtplib.SMTPException) as error:
        return Finding("mail", "error", f"{where} cannot be reached: {error}", help)
    return Finding("mail", "ok", f"{where} answers")
