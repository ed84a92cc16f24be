"""The real parts: Debian's postfix takes a letter over STARTTLS, and a browser lays out the page on a phone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core import report_html
from reconciler.notifiers import send_all
from reconciler.ports.notifier import Outcome, Setting
from tests.reports.smtpd import parsed
from tests.reports.test_mail import parcel
from tests.reports.test_pages import HOSTILE, page
from tests.support.installation import until

pytestmark = pytest.mark.full


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def postfix(tmp_path: Path, certificate: Path) -> Iterator[tuple[int, Path]]:
    """A postfix of our own: its port, and the mailbox that all mail for example.org ends in."""
    port, mailbox = _free_port(), tmp_path / "mailbox"
    folders = {name: tmp_path / name for name in ("config", "queue", "data")}
    for folder in folders.values():
        folder.mkdir()
    shutil.chown(folders["data"], "postfix")
    tmp_path.chmod(0o755)
    for above in tmp_path.parents:
        if above != Path("/") and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    mailbox.mkdir()
    mailbox.chmod(0o777)
    settings = {
        "compatibility_level": "3.6", "queue_directory": folders["queue"], "data_directory": folders["data"],
        "mail_owner": "postfix", "setgid_group": "postdrop", "myhostname": "mail.example.org",
        "mydestination": "", "virtual_mailbox_domains": "example.org", "virtual_mailbox_base": mailbox,
        "virtual_mailbox_maps": "static:box/", "virtual_minimum_uid": "1",
        "virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534",
        "smtpd_tls_security_level": "encrypt", "smtpd_tls_chain_files": certificate, "inet_protocols": "ipv4",
        "maillog_file": tmp_path / "log", "maillog_file_prefixes": tmp_path, "smtpd_peername_lookup": "no",
        "mynetworks": "127.0.0.0/8", "alias_maps": "", "local_recipient_maps": "", "inet_interfaces": "127.0.0.1",
    }  # fmt: skip
    (folders["config"] / "main.cf").write_text(
        "".join(f"{name} = {value}\n" for name, value in settings.items())
    )
    services = Path("/etc/postfix/master.cf").read_text().splitlines()
    kept = [line for line in services if line and line[0] not in "#sp " and not line.startswith("\t")]
    kept += [
        line
        for line in services
        if line.startswith(("scache", "pickup", "proxymap", "postlog", "proxywrite"))
    ]
    kept.append(f"127.0.0.1:{port} inet n - n - - smtpd")
    kept = [
        line.replace(" y ", " n ")
        for line in kept
        if not line.startswith(("maildrop", "uucp", "ifmail", "mailman"))
    ]
    (folders["config"] / "master.cf").write_text("\n".join(kept) + "\n")
    command = ["postfix", "-c", str(folders["config"])]
    subprocess.run([*command, "start"], check=True, capture_output=True)
    try:
        yield port, mailbox / "box"
    finally:
        subprocess.run([*command, "stop"], check=False, capture_output=True)


@pytest.mark.needs("postfix", "openssl")
@pytest.mark.skipif(os.geteuid() != 0, reason="postfix is started by root")
def test_postfix_takes_a_letter_and_delivers_it_unchanged(
    postfix: tuple[int, Path], certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port, mailbox = postfix
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    mail = {"smtp": f"smtp://localhost:{port}", "tls": "starttls", "from": "reconciler@example.org"}
    setting = Setting(mail, tmp_path, "mail1.example.net", "uid")
    letters = [parcel(number=1, attachLog=10), parcel("jürgen@example.org", number=2, message=HOSTILE[0])]
    receipts = list(send_all(letters, setting))
    assert [receipt.outcome for receipt in receipts] == [Outcome.SENT] * 2, receipts
    files = until(
        lambda: len(found := list(mailbox.glob("new/*"))) == 2 and found, (tmp_path / "log").read_text()
    )
    messages = {message["Message-ID"]: message for message in (parsed(file.read_bytes()) for file in files)}
    first = messages[f"<{letters[0].message_id}@example.org>"]
    assert first["Subject"] == "✘ failure: backup@acme.example – exit code 3"
    assert [part.get_content_type() for part in first.iter_attachments()] == ["text/plain"]
    assert "it broke" in first.get_body(("plain",)).get_content()  # type: ignore[union-attr]


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("width", [360, 1000])
def test_a_browser_lays_the_page_out_without_scrolling_sideways_and_runs_nothing(
    tmp_path: Path, width: int
) -> None:
    lines = "".join(f"::error::{evil}{'x' * 300}\n" for evil in HOSTILE)
    html = report_html.render(page(tail=lines, message="y" * 400, description="z" * 300))
    # The measure is ours, added by the test: mail readers run no scripts, and the report has none.
    measure = "[document.documentElement.scrollWidth, innerWidth, document.images.length].join()"
    probe = f"<script>document.title={measure}</script>"
    path = tmp_path / "page.html"
    path.write_text(html.replace("</body>", probe + "</body>"), encoding="utf-8", errors="replace")
    shown = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    title = shown.stdout.partition("<title>")[2].partition("</title>")[0]
    needed, had, images = (int(number) for number in title.split(","))
    assert needed <= had
    assert images == 0
