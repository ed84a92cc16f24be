"""From a claim to an order: the definition is frozen with the first attempt and used again for all later ones."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from reconciler.core.model import TargetId, Trigger
from reconciler.core.plan import Plan, Retention
from reconciler.core.seen import RunSeen, Seen
from reconciler.core.units import parse_size
from reconciler.engine.parts import PROBE_RUN, Prepared
from reconciler.engine.readiness import Readiness
from reconciler.ports.store import Store
from reconciler.spec.order import Account, RunFacts, Site, make_order, probe_order, user_of
from reconciler.spec.parameters import check_parameters


class CannotOrder(Exception):
    """The definition cannot be carried out here; the text says why."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are on this machine."""

    state: Path
    secrets: Path


class OrderBook:
    """The engine's `Orders`, out of the documents in the store."""

    def __init__(self, store: Store, places: Places) -> None:
        self._store, self._places = store, places
        self._specs: dict[tuple[str, str], Mapping[str, Any] | None] = {}
        self._accounts: dict[str | None, Account] = {}
        self._definitions: dict[str, Mapping[str, Any]] = {}
        self._readiness = Readiness(places.secrets)

    def forget(self) -> None:
        self._specs.clear()
        self.recheck()
        self._definitions.clear()

    def prepare(self, target: TargetId, run: RunSeen, attempt: int, seen: Seen) -> Prepared:
        digest, definition = self._definition(target, run)
        try:
            job, domain = definition["job"], definition["domain"]
            if job is None:
                raise CannotOrder(f"the Job {target.job} is not there any more")
            values, errors = check_parameters(job, run.parameters or {})
            if errors:
                raise CannotOrder("the parameters do not fit: " + "; ".join(errors))
            told = RunFacts(
                target,
                run.run,
                attempt,
                group=run.group,
                slot=_text(run.slot),
                trigger=str(run.trigger),
                revision=run.revision,
                last_success=_text(seen.last_success.finished_at if seen.last_success else None),
                state_folder=str(self._places.state),
                parameters=values,
            )
            order = make_order(job, domain, told, self._site(job, definition))
        except (CannotOrder, KeyError, ValueError) as error:
            said = f"unknown name $({error.args[0]})" if isinstance(error, KeyError) else str(error)
            return Prepared(digest, None, f"cannot start {target}: {said}")
        return Prepared(digest, order)

    def probe(self, target: TargetId, attempt: int) -> Prepared:
        job, domain, installation = self._documents(target)
        try:
            if job is None:
                raise CannotOrder(f"the Job {target.job} is not there any more")
            told = RunFacts(
                target,
                PROBE_RUN,
                attempt,
                trigger=str(Trigger.AUTOMATIC),
                state_folder=str(self._places.state),
            )
            order = probe_order(job, domain, told, self._site(job, {"installation": installation}))
        except (CannotOrder, KeyError, ValueError) as error:
            return Prepared("", None, f"cannot probe for {target}: {error}")
        return Prepared("", order)

    def not_ready(self, plan: Plan) -> str:
        return self._readiness.why_not(plan)

    def recheck(self) -> None:
        """Ask the machine again whether it has what jobs need."""
        self._accounts.clear()
        self._readiness.recheck()

    # Definitions.

    def _definition(self, target: TargetId, run: RunSeen) -> tuple[str, Mapping[str, Any]]:
        if run.digest:
            frozen = self._definitions.get(run.digest) or self._store.definition(run.digest)
            if frozen is not None:
                return run.digest, frozen
        job, domain, installation = self._documents(target)
        parts = {"user": (installation or {}).get("user"), "log": _log_bound(job, installation)}
        definition = {"job": job, "domain": domain and {"environment": domain.get("environment")}, **parts}
        text = json.dumps(definition, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        if digest not in self._definitions:
            self._store.put_definition(digest, definition)
            self._definitions[digest] = definition
        return digest, definition

    def _documents(
        self, target: TargetId
    ) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None, Mapping[str, Any] | None]:
        domain = self._spec("Domain", target.domain) if target.domain else None
        return self._spec("Job", target.job), domain, self._spec("Installation", "installation")

    def _spec(self, kind: str, name: str) -> Mapping[str, Any] | None:
        key = kind, name
        if key not in self._specs:
            body = self._store.object_body(kind, "", name)
            self._specs[key] = body["spec"] if body is not None else None
            if len(self._specs) > 4096:
                self._specs.pop(next(iter(self._specs)))
        return self._specs[key]

    # This machine.

    def _site(self, job: Mapping[str, Any], definition: Mapping[str, Any]) -> Site:
        default = definition.get("user") if os.geteuid() == 0 else None
        user = user_of(job, default)
        return Site(
            self._account(user),
            default,
            str(self._places.secrets),
            definition.get("log") or _log_bound(job, None),
        )

    def _account(self, name: str | None) -> Account:
        known = self._accounts.get(name)
        if known is None:
            try:
                entry = pwd.getpwnam(name) if name is not None else pwd.getpwuid(os.geteuid())
            except KeyError:
                if name is not None:
                    raise CannotOrder(f"there is no user `{name}` on this machine") from None
                known = Account(str(os.geteuid()), "/", "/bin/sh")
            else:
                known = Account(entry.pw_name, entry.pw_dir, entry.pw_shell)
            self._accounts[name] = known
        return known


def _log_bound(job: Mapping[str, Any] | None, installation: Mapping[str, Any] | None) -> int:
    """The job's own bound, else the Installation's."""
    given = ((spec or {}).get("retention") or {} for spec in (job, installation))
    text = next((each["log"] for each in given if "log" in each), None)
    return parse_size(text) if text else Retention().log_bytes


@lru_cache(maxsize=64)
def _text(instant: datetime | None) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ") if instant is not None else ""
