"""Who sees and does what, on a real installation: every verb and every view, by --as and as another user."""

from __future__ import annotations

import http.client
import os
import pkgutil
import pwd
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from reconciler import views
from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full

FORBIDDEN, NOT_FOUND = 7, 6
OTHERS = ("globex", "backup", "nightly", "SECRET")
"""Words that only stand in what a domain administrator of acme.example must not know of."""
NOBODY = "nobody"
NO_VIEWS = ("attempts", "digest", "names", "rows")
"""Modules beside the views, which nobody can ask for."""
as_another_user = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


@pytest.fixture(scope="module")
def place() -> Iterator[Installation]:
    """Two domains, a job of each scope, runs, requests, broken files, and a daemon."""
    root = Path(tempfile.mkdtemp(prefix="reconcile-access-"))
    root.chmod(0o755)
    place = Installation(root / "place")
    write = place.write
    write(
        "domains.yaml", document("Domain", "acme.example") + "\n---\n" + document("Domain", "globex.example")
    )
    write("alice.yaml", document("Administrator", "alice", role="domain", domains=["acme.example"],
                                 email="alice@acme.example", identities=[f"unix:{NOBODY}"]))  # fmt: skip
    write("gina.yaml", document("Administrator", "gina-globex", role="domain", domains=["globex.example"]))
    write("import.yaml", job("import", "echo of $RECONCILE_DOMAIN", scope="domain", environment={"X": "SECRET"},
                             description="Import"))  # fmt: skip
    every_day = {"mode": "scheduled", "schedule": {"cron": "0 2 * * *"}}
    write("backup.yaml", job("backup", "echo SECRET", description="nightly", planning=every_day))
    write("domains/globex.example/import.yaml", document("Planning", "import", **every_day))
    write("domains/acme.example/import.yaml", document("Planning", "import", **every_day))
    place.serve()
    for words in (["run", "import", "-A"], ["run", "backup", "--reason", "SECRET"]):
        done = place.run(*words, "--wait")
        assert done.returncode == 0, done.stderr
    place.run("pause", "import@globex.example", "--local", "--for", "1h", "--reason", "SECRET")
    write("broken.yaml", "kind: Job # SECRET\nspec: [")
    write("domains/globex.example/broken.yaml", "kind: Planning # SECRET\nspec: [")
    until(lambda: len(place.json("status")["rejectedFiles"]) == 2)
    yield place
    place.close()
    shutil.rmtree(root)


def leaks(*texts: str) -> list[str]:
    return [word for word in OTHERS for text in texts if word in text]


READING = [
    ["get", "jobs"], ["get", "jobs", "-o", "json"], ["get", "jobs", "-o", "wide"], ["get", "runs"],
    ["get", "runs", "-o", "json"], ["get", "domains"], ["get", "requests"], ["get", "administrators"],
    ["status"], ["status", "-o", "json"], ["events"], ["events", "-o", "json"], ["history", "import"],
    ["describe", "import"], ["describe", "import", "-o", "json"], ["describe", "domain/acme.example"],
    ["logs", "import"], ["forecast"], ["forecast", "import"], ["forecast", "--heatmap"], ["get", "jobs", "-o", "name"],
    ["describe", "administrator/alice"], ["get", "jobs", "--contains", "e"], ["validate"], ["validate", "-o", "json"],
]  # fmt: skip


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_what_a_domain_administrator_reads_tells_nothing_of_others(
    place: Installation, words: list[str]
) -> None:
    done = place.run("--as", "alice", *words)
    assert leaks(done.stdout, done.stderr) == [], done
    assert done.returncode == 0, done


@pytest.mark.parametrize(
    "words",
    [
        ["describe", "{}"], ["logs", "{}"], ["events", "{}"], ["history", "{}"], ["forecast", "{}"], ["run", "{}"],
        ["cancel", "{}"], ["pause", "{}"], ["resume", "{}"], ["schedule", "{}", "--disabled"],
        ["logs", "{}", "--mark-read"], ["get", "jobs", "{}"], ["pause", "{}", "--local", "--for", "1h"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "nothing"), [("backup", "bookop"), ("import@globex.example", "import@gxobel.example")]
)
def test_what_is_not_theirs_is_unknown_to_every_verb(
    place: Installation, words: list[str], name: str, nothing: str
) -> None:
    before = sorted((place.root / "jobs.d").rglob("*"))
    answers = []
    for asked in (name, nothing):
        done = place.run("--as", "alice", *(word.format(asked) for word in words))
        said = done.stderr.replace(asked, "it").replace(asked.rpartition("@")[2], "there")
        answers.append((done.returncode, done.stdout, said))
    assert answers[0][0] in (NOT_FOUND, 64), answers
    assert answers[0] == answers[1], "an answer tells a thing that is not for you from one that is not there"
    assert sorted((place.root / "jobs.d").rglob("*")) == before


@pytest.mark.parametrize("near", ["bakup", "import@globx.example", "import@globex.exampl", "gina-globx"])
def test_no_name_of_others_is_suggested_or_completed(place: Installation, near: str) -> None:
    domain = near.rpartition("@")[2]
    for words in (["describe", near], ["get", "jobs", "-n", domain], ["describe", f"administrator/{near}"]):
        done = place.run("--as", "alice", *words)
        said = done.stderr.replace(near, "").replace(domain, "")
        assert leaks(done.stdout, said) == [], done


def test_completion_offers_what_is_theirs_and_nothing_of_others(place: Installation) -> None:
    for words, offered in (
        ("reconcile --as alice describe ", "import"),
        ("reconcile --as alice get jobs -n ", "acme.example"),
        ("reconcile --as alice logs i", "import"),
    ):
        said = completed(place, words)
        assert offered in said
        assert leaks(said) == []
    assert completed(place, "reconcile --as alice logs b").split() == []
    assert "backup" in completed(place, "reconcile logs b"), "it is there to be offered"


def completed(place: Installation, words: str) -> str:
    """What the shell offers next; it takes the installation from the environment, not from the words of a test."""
    env = {
        "_RECONCILE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "RECONCILE_STATE": str(place.state),
    }
    return place.run(env=env).stdout


@pytest.mark.parametrize(
    "words",
    [
        ["plan"], ["apply"], ["apply", "--approve", "0" * 16], ["plan", "--out", "x"], ["apply", "--dry-run"],
        ["pause", "import@acme.example", "--local", "--for", "1h"], ["doctor"], ["serve"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_concerns_the_whole_is_forbidden(place: Installation, words: list[str]) -> None:
    done = place.run("--as", "alice", *words)
    assert (done.returncode, leaks(done.stdout, done.stderr)) == (FORBIDDEN, []), done


def test_nobody_acts_as_somebody_whom_there_is_not(place: Installation) -> None:
    for words in (
        ["get", "jobs"],
        ["run", "import"],
        ["plan"],
        ["pause", "import@acme.example"],
        ["cancel", "import"],
    ):
        assert place.run("--as", "mallory", *words).returncode == NOT_FOUND


# The control socket.


class _Link(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("reconcile")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def ask(place: Installation, view: str, **query: str) -> tuple[int, str]:
    link = _Link(place.state / "control.sock")
    try:
        link.request("GET", f"/v1/{view}?{urlencode(query)}")
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


@pytest.mark.parametrize("view", sorted(module.name for module in pkgutil.iter_modules(views.__path__)))
def test_no_view_tells_of_others(place: Installation, view: str) -> None:
    queries: list[dict[str, str]] = [
        {}, {"limit": "0"}, {"gone": "1"}, {"name": "import"}, {"of": "domains"}, {"of": "targets"}, {"measured": "1"},
        {"type": "domain", "name": "acme.example"}, {"type": "run", "name": "import"}, {"contains": "e"},
        {"name": "backup"}, {"name": "import@globex.example"}, {"domain": "globex.example"},
        {"domain": "_installation"},
        {"group": "request/_installation/x"}, {"type": "domain", "name": "globex.example"}, {"label": "x!=y"},
        {"type": "administrator", "name": "gina-globex"}, {"status": "success"}, {"after": "0", "limit": "500"},
    ]  # fmt: skip
    statuses = set()
    for query in queries:
        status, text = ask(place, view, **query, **{"as": "alice"})
        statuses.add(status)
        said = text
        if status != 200:  # a refusal repeats what was asked for, and an answer has no reason to
            for key in ("name", "domain"):
                said = said.replace(f"`{query[key]}`", "") if key in query else said
        assert leaks(said) == [], (query, text)
    assert statuses == {404} if view in NO_VIEWS else 200 in statuses, statuses


def _python() -> str:
    """An interpreter that everybody may execute: ours may lie in somebody's home."""
    own = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in own.parents):
        return str(own)
    found = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin")
    if found is None:
        pytest.skip("no interpreter of this version that another user may execute")
    return found


def as_nobody(place: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as another user, who is the Administrator alice."""
    command = [_python(), "-m", "reconciler", "-C", str(place.root), "--state", str(place.state), *words]
    user = pwd.getpwnam(NOBODY)
    library = f"{os.getcwd()}:{sysconfig.get_path('purelib')}"
    return subprocess.run(
        command, capture_output=True, text=True, check=False, user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        cwd="/", env={**os.environ, "PYTHONPATH": library, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


@as_another_user
def test_another_user_comes_in_by_the_socket_alone_and_is_who_lists_them(place: Installation) -> None:
    group = pwd.getpwnam(NOBODY).pw_gid
    assert as_nobody(place, "get", "jobs").returncode == FORBIDDEN, (
        "the state is closed until somebody opens it"
    )
    os.chown(place.state, -1, group)
    os.chown(place.state / "control.sock", -1, group)
    place.state.chmod(0o710)
    try:
        for line in ("get jobs", "status", "get runs", "events", "logs import", "describe import"):
            done = as_nobody(place, *line.split())
            assert (done.returncode, leaks(done.stdout, done.stderr)) == (0, []), done
        assert "acme.example" in as_nobody(place, "get", "jobs").stdout
        for words in (["plan"], ["apply"], ["--as", "gina-globex", "get", "jobs"], ["forecast"]):
            done = as_nobody(place, *words)
            assert (done.returncode, leaks(done.stdout, done.stderr.replace("gina-globex", ""))) == (
                FORBIDDEN,
                [],
            ), done
        for words in (
            ["cancel", "backup"],
            ["cancel", "import@globex.example"],
            ["logs", "backup", "--mark-read"],
        ):
            assert as_nobody(place, *words).returncode == NOT_FOUND
        assert as_nobody(place, "logs", "import", "--mark-read").returncode == 0
        below = [path for path in place.state.iterdir() if path.name != "control.sock"]
        assert [path.name for path in below if path.stat().st_mode & 0o077] == []
    finally:
        place.state.chmod(0o700)


@as_another_user
def test_another_user_s_run_goes_into_the_folder_of_the_domain(place: Installation) -> None:
    user = pwd.getpwnam(NOBODY)
    area = place.root / "jobs.d/domains/acme.example"
    os.chown(area, user.pw_uid, user.pw_gid)
    os.chown(place.state, -1, user.pw_gid)
    os.chown(place.state / "control.sock", -1, user.pw_gid)
    place.state.chmod(0o710)
    try:
        done = as_nobody(place, "run", "import", "--wait")
        assert done.returncode == 0, done
        (path,) = (area / "run").iterdir()
        assert "import@acme.example" in path.read_text()
    finally:
        place.state.chmod(0o700)
