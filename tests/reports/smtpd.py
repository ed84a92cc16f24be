"""A mail server of our own: STARTTLS, TLS and AUTH, what it accepted, and where in a conversation it breaks off."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

USER, PASSWORD = b"reconciler", b"s3cret pass"


class Server:
    """`dies_at` is one of CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (after the text, before the answer)."""

    def __init__(self, certificate: Path | None = None, *, tls: str = "none", auth: bool = False) -> None:
        self.accepted: list[tuple[list[str], bytes]] = []
        self.dies_at = ""
        self.answers: dict[str, str] = {}
        self.options: list[str] = []
        self.connections = 0
        self._tls, self._auth = tls, auth
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: asyncio.Server | None = None

    def start(self) -> None:
        self._thread.start()
        made = self._loop.create_server(
            self.factory, "127.0.0.1", 0, ssl=self._context if self._tls == "tls" else None
        )
        self._listener = asyncio.run_coroutine_threadsafe(made, self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        assert self._listener is not None
        self._listener.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def factory(self) -> SMTP:
        more: dict[str, Any] = (
            {"tls_context": self._context, "require_starttls": True} if self._tls == "starttls" else {}
        )
        if self._auth:
            more |= {
                "authenticator": self._check,
                "auth_required": True,
                "auth_require_tls": self._tls == "starttls",
            }
        with warnings.catch_warnings():
            # It warns of AUTH without STARTTLS, and does not see that all of it is in TLS.
            warnings.simplefilter("ignore")
            return self._made(**more)

    def _made(self, **more: Any) -> SMTP:
        return Breaking(self, loop=self._loop, enable_SMTPUTF8=True, **more)

    def _check(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = data.login == USER and data.password == PASSWORD
        return AuthResult(success=right, handled=right)

    @property
    def address(self) -> str:
        scheme = "smtps" if self._tls == "tls" else "smtp"
        assert self._listener is not None
        return f"{scheme}://localhost:{self._listener.sockets[0].getsockname()[1]}"

    @property
    def messages(self) -> list[EmailMessage]:
        return [parsed(content) for _, content in self.accepted]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.options += options
        if "MAIL" not in self.answers:
            envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        said = self.answers.get("RCPT", "250 OK")
        if said.startswith("2"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        said = self.answers.get("DATA", "250 OK")
        if said.startswith("2"):
            assert isinstance(envelope.content, bytes)
            self.accepted.append((list(envelope.rcpt_tos), envelope.content))
        if self.dies_at == "BODY":
            assert isinstance(server, Breaking)
            server.transport.abort()
        return said


class Breaking(SMTP):
    """Breaks the connection at one step."""

    def __init__(self, controller: Server, **more: Any) -> None:
        self._controller = controller
        super().__init__(controller, **more)

    def connection_made(self, transport: Any) -> None:
        self._controller.connections += 1
        super().connection_made(transport)
        if self._controller.dies_at == "CONNECT":
            transport.abort()

    async def _break_at(self, step: str) -> bool:
        if self._controller.dies_at == step:
            self.transport.abort()
            return True
        return False

    async def smtp_EHLO(self, hostname: str) -> None:
        if not await self._break_at("EHLO"):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:
        if not await self._break_at("STARTTLS"):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:
        if not await self._break_at("AUTH"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:
        if not await self._break_at("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:
        if not await self._break_at("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        if not await self._break_at("DATA"):
            await super().smtp_DATA(arg)


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


@contextmanager
def serving(certificate: Path | None = None, **more: Any) -> Iterator[Server]:
    server = Server(certificate, **more)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def make_certificate(folder: Path) -> Path:
    """A key and a certificate for localhost in one file; it is its own authority."""
    path = folder / "localhost.pem"
    key = folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    # postfix wants the key first.
    path.write_text(key.read_text() + path.read_text())
    return path
