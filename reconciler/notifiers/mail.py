"""Mail by SMTP: STARTTLS or TLS, authentication, one connection for many letters."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from reconciler.core import report_html, report_text
from reconciler.core.report import message_id
from reconciler.core.report_page import attachments, page_of
from reconciler.ports.notifier import TIMEOUT_SECONDS, Outcome, Parcel, Receipt, Setting

SCHEMES = ("mailto",)
_PORTS = {"none": 25, "starttls": 587, "tls": 465}
_MOST_AUTHORS = 10


class _Unreachable(Exception):
    """Nothing can be sent at the moment; the text says why and what to do."""


def server_of(mail: Mapping[str, Any]) -> tuple[str, int, str]:
    """The host and port of the Installation's `mail`, and how it is encrypted: none, starttls or tls."""
    url = urlsplit(str(mail["smtp"]))
    tls = "tls" if url.scheme == "smtps" else str(mail.get("tls") or "starttls")
    return url.hostname or "localhost", url.port or _PORTS[tls], tls


def make(setting: Setting) -> Mailer:
    return Mailer(setting)


class Mailer:
    """Sends letters to their recipients through the Installation's server."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def send(self, parcels: Sequence[Parcel], address: str = "") -> Iterator[Receipt]:
        link: smtplib.SMTP | None = None
        unreachable = ""
        for parcel in parcels:
            if unreachable:
                yield Receipt(parcel.id, Outcome.UNREACHABLE, unreachable)
                continue
            try:
                link = link or self._connect()
                receipt = self._send_one(link, parcel)
            except _Unreachable as error:
                unreachable = str(error)
                receipt = Receipt(parcel.id, Outcome.UNREACHABLE, unreachable)
            except (OSError, smtplib.SMTPException) as error:
                # It may or may not have been taken: sent once more, it has the same Message-ID.
                receipt = Receipt(parcel.id, Outcome.LATER, f"{self._server()} broke off: {_words(error)}")
                _let_go(link)
                link = None
            yield receipt
        _let_go(link)

    # The conversation.

    def _server(self) -> str:
        return str((self._setting.mail or {}).get("smtp", ""))

    def _connect(self) -> smtplib.SMTP:
        mail = self._setting.mail
        if mail is None:
            raise _Unreachable("there is no `mail` in the Installation, so no mail can be sent")
        host, port, tls = server_of(mail)
        link: smtplib.SMTP | None = None
        try:
            context = ssl.create_default_context()
            if tls == "tls":
                link = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
            else:
                link = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
            link.ehlo_or_helo_if_needed()
            if tls == "starttls":
                if not link.has_extn("starttls"):
                    raise _Unreachable(f"{host}:{port} offers no STARTTLS; `mail.tls` can be `tls` or `none`")
                link.starttls(context=context)
                link.ehlo()
            self._authenticate(link, mail)
        except _Unreachable:
            _let_go(link)
            raise
        except (OSError, smtplib.SMTPException) as error:
            _let_go(link)
            raise _Unreachable(f"{_words(error)} ({host}:{port})") from error
        return link

    def _authenticate(self, link: smtplib.SMTP, mail: Any) -> None:
        if not mail.get("username"):
            return
        name = mail.get("passwordSecret")
        try:
            path = self._setting.secrets / str(name)
            password = path.read_text(encoding="utf-8").rstrip("\r\n") if name else ""
        except OSError as error:
            raise _Unreachable(f"cannot read the secret `{name}`: {error.strerror}") from error
        link.login(str(mail["username"]), password)

    def _send_one(self, link: smtplib.SMTP, parcel: Parcel) -> Receipt:
        sender = _punycode(str((self._setting.mail or {})["from"]))
        recipient = _punycode(parcel.recipient)
        international = not (sender.isascii() and recipient.isascii())
        if international and not link.has_extn("smtputf8"):
            return Receipt(
                parcel.id, Outcome.REFUSED, f"{self._server()} does not take addresses such as {recipient}"
            )
        message = self.compose(parcel)
        options = ["SMTPUTF8"] if international else []
        code, said = link.mail(sender, options)
        if code >= 400:
            link.rset()
            raise _Unreachable(f"{self._server()} does not take mail from {sender}: {code} {_decoded(said)}")
        code, said = link.rcpt(recipient)
        if code < 400:
            data = message.as_bytes(policy=(SMTPUTF8 if international else SMTP).clone(max_line_length=200))
            code, said = link.data(data)
        if code < 400:
            return Receipt(parcel.id, Outcome.SENT)
        link.rset()
        outcome = Outcome.REFUSED if code >= 500 else Outcome.LATER
        return Receipt(parcel.id, outcome, f"{recipient}: {code} {_decoded(said)}")

    # The message.

    def compose(self, parcel: Parcel) -> EmailMessage:
        """Write the message of a letter; the same letter gives the same message."""
        setting = self._setting
        body = self._with_authors(parcel.body)
        page = page_of(body, parcel.recipient, setting.host)
        sender = _punycode(str((setting.mail or {"from": "reconciler@localhost"})["from"]))
        home = sender.rpartition("@")[2]
        message = EmailMessage(policy=SMTP)
        # EmailMessage refuses line breaks in headers; the page has none, and addresses were validated.
        message["From"] = f"reconcile <{sender}>" if sender.isascii() else sender
        message["To"] = _punycode(parcel.recipient)
        message["Subject"] = page.subject
        message["Date"] = formatdate(parcel.created)
        message["Message-ID"] = f"<{parcel.message_id}@{home}>"
        about = sorted(
            {str(item["job"]) if len(body["items"]) > 1 else str(item["target"]) for item in body["items"]}
        )
        if len(about) == 1:
            # All letters about one target hang on one root, which is never sent.
            root = message_id(setting.installation, parcel.recipient, f"thread {about[0]}", 0)
            message["In-Reply-To"] = f"<{root}@{home}>"
            message["References"] = f"<{root}@{home}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        message.set_content(report_text.render(page), cte="quoted-printable")
        message.add_alternative(report_html.render(page), subtype="html", cte="quoted-printable")
        for name, text in attachments(body):
            message.add_attachment(text, filename=name, cte="base64")
        return message

    def _with_authors(self, body: Any) -> dict[str, Any]:
        items = []
        for number, item in enumerate(body.get("items", ())):
            if number < _MOST_AUTHORS and item.get("revision") and item.get("path"):
                author = self._setting.author_of(str(item["revision"]), str(item["path"]))
                items.append({**item, "author": author})
            else:
                items.append(item)
        return {**body, "items": items}


def _punycode(address: str) -> str:
    """The address with its domain in ASCII; a local part in another script stays, and asks for SMTPUTF8."""
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return address


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_decoded(error.smtp_error)}"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def _decoded(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:300]


def _let_go(link: smtplib.SMTP | None) -> None:
    if link is None:
        return
    try:
        link.quit()
    except (OSError, smtplib.SMTPException):
        link.close()
