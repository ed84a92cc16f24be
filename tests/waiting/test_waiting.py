"""Runs that wait: for locks, for a place, for their own target; in which order, and how a person sees why."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation, document, job, until

pytestmark = pytest.mark.full


def held(place: Installation, name: str) -> str:
    """A command that notes its name and goes on until the test says so."""
    return f"echo {name} >> {place.ledger}; while [ ! -e {place.root}/end-{name} ]; do sleep 0.05; done"


def end(place: Installation, name: str) -> None:
    (place.root / f"end-{name}").touch()


def begun(place: Installation) -> list[str]:
    return place.ledger.read_text().split() if place.ledger.exists() else []


def waits(place: Installation, target: str) -> str:
    lines = place.run("describe", target).stdout.splitlines()
    return "\n".join(line for line in lines if " waits: " in line or "before it" in line)


def ask(place: Installation, *targets: str) -> None:
    for target in targets:
        assert place.run("run", target).returncode == 0
    words = {target.partition("@")[0] for target in targets}
    until(lambda: words <= {row[0] for row in place.rows("SELECT job FROM runs")})


def test_locks_are_taken_whole_in_order_of_arrival_and_the_holder_is_named(place: Installation):
    place.write("a.yaml", job("a", held(place, "a"), locks=["database"]))
    place.write("b.yaml", job("b", held(place, "b"), locks=["database", "network"]))
    place.write("c.yaml", job("c", held(place, "c"), locks=["network"]))
    place.write("d.yaml", job("d", held(place, "d"), locks=["printer"]))
    place.serve()
    for name in "abcd":
        ask(place, name)
    until(lambda: begun(place) == ["a", "d"], "what shares no lock passes")
    assert "LocksBusy: database held by a/" in waits(place, "b")
    assert "LocksBusy: network is first for b/" in waits(place, "c"), "later ones do not starve b"
    end(place, "a")
    until(lambda: begun(place) == ["a", "d", "b"])
    until(lambda: "network held by b/" in waits(place, "c"))
    end(place, "b")
    until(lambda: begun(place) == ["a", "d", "b", "c"])
    assert waits(place, "b") == ""


def test_a_lock_holds_for_every_trigger_and_while_a_retry_is_awaited_it_is_free(place: Installation):
    (place.root / "end-b").touch()
    place.write("a.yaml", job("a", "exit 1", locks=["l"], retry={"attempts": 2, "delay": "60s"}))
    place.write(
        "b.yaml",
        job("b", held(place, "b"), locks=["l"], automatic={"after": ["go"]}, planning={"mode": "automatic"}),
    )
    place.write("go.yaml", job("go", "true"))
    place.serve()
    ask(place, "a")
    until(lambda: "RetryDelay: until" in waits(place, "a"))
    assert place.run("run", "go", "--wait").returncode == 0
    place.wait_runs("b", "success")
    (run,) = place.runs("a")
    assert (run["state"], run["attempts"]) == ("queued", 1), "a waiting run holds nothing"


def test_no_domain_has_more_than_its_share_and_a_flood_of_one_does_not_starve_another(place: Installation):
    place.write("all.yaml", document("Installation", "installation", maxParallel=3, maxParallelPerDomain=2))
    for domain in ("acme.example", "globex.example"):
        place.write(f"{domain}.yaml", document("Domain", domain))
    for name in "abcd":
        place.write(f"{name}.yaml", job(name, held(place, f"{name}-$RECONCILE_DOMAIN"), scope="domain"))
    place.serve()
    ask(place, *(f"{name}@acme.example" for name in "abcd"))
    until(lambda: len(begun(place)) == 2)
    until(lambda: "2 runs at once of acme.example (maxParallelPerDomain)" in waits(place, "c@acme.example"))
    until(lambda: "before it in its domain: c@acme.example/" in waits(place, "d@acme.example"))
    ask(place, "a@globex.example", "b@globex.example")
    until(lambda: begun(place)[2:] == ["a-globex.example"], "the other domain has its place at once")
    until(lambda: "3 runs at once (maxParallel)" in waits(place, "b@globex.example"))
    end(place, "a-acme.example")
    until(lambda: begun(place)[3:] == ["c-acme.example"], "places go round the domains")
    end(place, "b-acme.example")
    until(lambda: begun(place)[4:] == ["b-globex.example"], "places go round the domains")


def test_a_domain_administrator_learns_no_name_of_others(place: Installation):
    place.write("d.yaml", document("Domain", "acme.example"))
    place.write("e.yaml", document("Domain", "globex.example"))
    place.write("alice.yaml", document("Administrator", "alice", role="domain", domains=["acme.example"]))
    place.write("hidden.yaml", job("hidden", held(place, "hidden"), locks=["l"]))
    place.write("a.yaml", job("a", held(place, "a"), scope="domain", locks=["l"]))
    place.serve()
    ask(place, "hidden")
    until(lambda: begun(place) == ["hidden"])
    ask(place, "a@globex.example", "a@acme.example")
    until(lambda: "held by hidden/" in waits(place, "a@acme.example"))
    for words in (["describe", "a@acme.example"], ["get", "runs"], ["get", "runs", "-o", "json"], ["history", "a"],
                  ["describe", "a@acme.example", "-o", "json"], ["logs", "a@acme.example"]):  # fmt: skip
        done = place.run("--as", "alice", *words)
        assert "logs" in words or "l held by a run of others" in done.stdout, words
        assert "hidden" not in done.stdout + done.stderr, words


def test_skip_queue_replace_and_allow_do_what_they_say_for_requests_too(place: Installation):
    for name in ("skip", "queue", "replace", "allow"):
        place.write(f"{name}.yaml", job(name, "sleep 30", concurrency=name))
    place.serve()
    for _ in range(3):
        for name in ("skip", "queue", "replace", "allow"):
            assert place.run("run", name).returncode == 0
            until(lambda n=name: any(run["state"] == "running" for run in place.runs(n)))

    def states(name: str) -> list[str]:
        return [f"{run['state']} {run['reason']}".strip() for run in place.runs(name)]

    until(lambda: states("skip") == ["running", "skipped StillRunning", "skipped StillRunning"])
    until(lambda: states("queue") == ["running", "queued", "skipped QueueFull"])
    until(lambda: states("replace") == ["cancelled Replaced", "cancelled Replaced", "running"])
    until(lambda: states("allow") == ["running", "running", "running"])
    assert "StillRunning" in waits(place, "queue")
    assert place.run("cancel", "queue").returncode == 0
    until(
        lambda: (
            states("queue")
            == ["cancelled CancelledByRequest", "cancelled CancelledByRequest", "skipped QueueFull"]
        )
    )
