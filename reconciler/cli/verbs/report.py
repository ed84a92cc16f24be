"""Show the report of a run as it would be sent (--preview), or send a test mail (--test).

RUN is job@domain/run, or a job for its newest run that is over. `describe JOB` says who gets its reports.
"""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, complete_targets, say, verb
from reconciler.cli.out import emit
from reconciler.cli.reading import read, repository_of, state_of


@verb()
@click.option(
    "--preview", metavar="RUN", default="", shell_complete=complete_targets, help="Render its report."
)
@click.option(
    "--html", metavar="FILE", default="", help="With --preview: write the HTML form into this file."
)
@click.option("--test", "address", metavar="ADDRESS", default="", help="Send a test mail there, now.")
@click.option(
    "--secrets",
    metavar="DIR",
    default="",
    envvar="RECONCILE_SECRETS",
    help="With --test: where the password is.",
)
def command(call: Call, preview: str, html: str, address: str, secrets: str) -> int:
    if bool(preview) == bool(address):
        raise Failure(Exit.USAGE, "say --preview RUN or --test ADDRESS", "`reconcile report --help`")
    if html and not preview:
        raise Failure(Exit.USAGE, "--html goes with --preview RUN")
    if address:
        return _test(call, address, secrets)
    return _preview(call, preview, html)


def _preview(call: Call, name: str, html: str) -> int:
    import socket
    from pathlib import Path

    from reconciler.core import report_html, report_text
    from reconciler.core.report_page import page_of

    answer = read(call, "report", name=name)
    item: dict[str, Any] = {**answer["item"], "kind": answer["item"]["state"], "tail": answer["tail"]}
    item["author"] = _author(call, item)
    page = page_of({"items": [item], "zone": answer["zone"]}, "", socket.gethostname())
    if html:
        try:
            Path(html).write_text(report_html.render(page), encoding="utf-8")
        except OSError as error:
            raise Failure(Exit.FAILED, f"cannot write {html}: {error.strerror}") from None
        say(f"wrote {html}")
    else:
        emit(f"Subject: {page.subject}\n\n{report_text.render(page)}")
    if answer["problem"]:
        say(answer["problem"])
    return Exit.OK


def _author(call: Call, item: dict[str, Any]) -> str:
    from pathlib import Path

    from reconciler.daemon.delivery import author_in

    try:
        return author_in(Path(repository_of(call)))(str(item.get("revision") or ""), str(item["path"]))
    except Failure:
        # Only the state is here, not the repository.
        return ""


def _test(call: Call, address: str, secrets: str) -> int:
    import os
    import socket
    from pathlib import Path

    from reconciler.cli.proposing import desired_in
    from reconciler.cli.serving import SECRETS
    from reconciler.cli.times import now
    from reconciler.core.report import MAIL, message_id
    from reconciler.notifiers import send_all
    from reconciler.ports.notifier import Outcome, Parcel, Setting

    _check(address)
    folder = Path(secrets or os.environ.get("CREDENTIALS_DIRECTORY") or SECRETS)
    at, host = now(), socket.gethostname()
    name = message_id(host, address, "test", int(at * 1000))
    parcel = Parcel(0, MAIL, address, name, at, {"style": "test", "items": []})
    mail = desired_in(state_of(call)).mail
    (receipt,) = send_all([parcel], Setting(mail, folder, host))
    if receipt.outcome is not Outcome.SENT:
        raise Failure(Exit.FAILED, f"not sent: {receipt.message}")
    say(f"the mail server took a test mail for {address}")
    return Exit.OK


def _check(address: str) -> None:
    from pydantic import TypeAdapter, ValidationError

    from reconciler.spec.fields import Address

    try:
        TypeAdapter(Address).validate_python(address)
    except ValidationError:
        raise Failure(Exit.USAGE, f"`{address}` is not a mail address", "such as ops@example.org") from None
