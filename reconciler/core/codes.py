"""The codes of diagnostics. Each is a class: its docstring is its documentation, shown by `reconcile
explain CODE`.

Codes are stable: one is never used again for something else. E1xx are errors within a document, E2xx
between documents, E3xx of the source, E4xx in tests of schedules.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """A code with its one-line title and its explanation (the whole text of the documentation below the
    title).
    """

    code: str
    title: str
    explanation: str


CODES: Final[dict[str, Code]] = {}


def _documented(cls: type) -> type:
    title, _, rest = inspect.cleandoc(cls.__doc__ or "").partition("\n")
    CODES[cls.__name__] = Code(cls.__name__, title.rstrip("."), rest.strip())
    return cls


@_documented
class E101:
    """The file is not YAML.

    The text cannot be read as YAML 1.2, so nothing in the file is used and what was last good is kept.
    Usual causes: a value that begins with `@`, `*`, `&`, `%`, `` ` ``, `!`, `{` or `[` and is not in
    quotes (`cron: "*/5 * * * *"`, `cron: "@daily"`), a tab used for indentation, a `: ` within a value
    without quotes, or a bracket or quote that is never closed.
    """


@_documented
class E102:
    """Unknown field.

    The field does not exist at this place. Nothing is ignored silently: a misspelt `timeOut` that did
    nothing would be found out at night. `reconcile explain job.spec` lists the fields of a kind.
    """


@_documented
class E103:
    """The value is none of those that the field takes.

    The message names them. Days are written `mon` to `sun`, signals without `SIG`, and modes in lower
    case.
    """


@_documented
class E104:
    """The value has the wrong type.

    Nothing is converted: a number where text is expected is written in quotes. YAML 1.2 reads `yes`,
    `no`, `on`, `off` as text, `true` and `false` as yes/no values, and `0027` as the number 27: modes and
    ids go in quotes.
    """


@_documented
class E105:
    """A required field is missing.

    The place is the mapping that it belongs to. `reconcile explain` marks required fields with `*`.
    """


@_documented
class E106:
    """A key stands twice in one mapping.

    YAML readers that accept this silently use one of the two; which one is a matter of luck. Remove one.
    """


@_documented
class E107:
    """Two documents have the same kind, domain and name.

    Both are rejected, since picking one would be a guess; what was last good is kept. The path of a file
    does not count: identity is kind, domain and name. To move a document, remove it at the old place in
    the same change.
    """


@_documented
class E108:
    """The file is not clean UTF-8 text.

    It has bytes that are not UTF-8, is UTF-16 or UTF-32, or contains NUL or other control characters.
    Save it as UTF-8. A byte order mark at the beginning is accepted.
    """


@_documented
class E109:
    """The file is too large, too deep or expands too far.

    A file may have 1 MiB, 10,000 documents and 200,000 values after its aliases are expanded, nested 64
    deep. Split a larger file.
    """


@_documented
class E110:
    """A feature of YAML that is not used here.

    Merge keys (`<<`), tags (`!!binary`, `!include`), directives (`%TAG`), keys that are not text and
    aliases that contain themselves are refused: they make a document mean something other than it seems
    to. Anchors and aliases for whole values work within one document.
    """


@_documented
class E111:
    """A field has no value.

    `timeout:` with nothing behind it (or `null`) could mean "none" or "the default" or "I was not
    finished". Give it a value or remove the line.
    """


@_documented
class E112:
    """Not a document that we know.

    Each document is a mapping with `apiVersion: reconciler/v1`, a `kind`, `metadata` and `spec`.
    """


@_documented
class E113:
    """The name cannot be used.

    `metadata.name` is a path, a label and part of the names of remote jobs: lower-case letters, digits,
    `-` and `.`, beginning and ending with a letter or digit, at most 63 characters (a Domain's: 253).
    International domain names are written in their `xn--` form. Text for people goes to
    `spec.description`.
    """


@_documented
class E114:
    """The value is out of range.

    It is too small, too large, too long, or a list has too few or too many items.
    """


@_documented
class E115:
    """Fields that exclude or need each other.

    For example a Job has either `command` or `script`, a schedule exactly one of `weekly`, `cron` and
    `every`, and `mode: scheduled` goes with a `schedule`.
    """


@_documented
class E116:
    """Not in the form that the field needs.

    Durations are numbers with a unit, the largest first: `90d`, `1h30m`, `0.5s`. Sizes are powers of
    1024: `64MiB`. Times of the day are `"02:30"`, dates `"2026-12-25"`, instants RFC 3339 with an offset:
    `2026-11-22T10:30:00Z`.
    """


@_documented
class E117:
    """Not an address that mail can be sent to.

    Write the address alone (`ops@example.org`), without a name, brackets or `mailto:`.
    """


@_documented
class E118:
    """The schedule cannot be used.

    The expression is not understood, can never occur (30 February), or has values out of range.
    """


@_documented
class E119:
    """Unknown time zone.

    Zones are named as in the IANA database: `Europe/Paris`, `UTC`. Abbreviations such as `CEST` are
    ambiguous.
    """


@_documented
class E120:
    """`$(NAME)` names something that the run will not have.

    In `command` and `probe.command`, `$(NAME)` is replaced from the run's environment: `environment` of
    the Job and of the Domain, the fixed PATH, HOME, USER, LOGNAME, SHELL, LANG, and RECONCILE_*. A secret
    is never put into a command line, where every user of the machine could read it: read it from the
    environment in the command itself. Write `$$(` for a literal `$(`.
    """


@_documented
class E121:
    """Not allowed in a domain area.

    `jobs.d/domains/<domain>/` belongs to the administrators of that domain. It takes only Planning,
    Calendar and RunRequest, always for this domain: the folder decides, nothing in the document can say
    otherwise. A report there adds recipients (`recipients`, `send`, `when`) and cannot use webhooks.
    """


@_documented
class E122:
    """Not the name of a variable or of a secret.

    Variables are letters, digits and `_`, not beginning with a digit; `RECONCILE_*` are set by the
    reconciler. A secret is the name of a file in the secrets directory, never a value.
    """


@_documented
class E123:
    """A parameter does not fit its declaration.

    A parameter has a `type` (boolean, integer, number, string), and its default, the values of its `enum`
    and what a request gives must be of it. A `pattern` must match the whole text.
    """


@_documented
class E124:
    """Not a path that can be used here.

    Paths on the machine are absolute and without `..`. Files that a document names stand beside it or
    below.
    """


@_documented
class E125:
    """An annotation cannot be used.

    Annotations of the reconciler: `reconciler/run-requested-at` (Job, Planning), `reconciler/prune:
    disabled` and `reconciler/renamed-from` (Job, Domain), `reconciler/approve` (Installation). All others
    are free.
    """


@_documented
class E126:
    """The file stands where no document may stand.

    Files of a domain area stand in `jobs.d/domains/<domain>/`, where `<domain>` is the name of a Domain.
    """


@_documented
class E201:
    """A job that does not exist is named.

    The job is written nowhere, or is itself rejected. A document whose references fail is rejected; what
    was last good of it is kept.
    """


@_documented
class E202:
    """A domain that does not exist is named.

    Each domain is a Domain document in the system area.
    """


@_documented
class E203:
    """A calendar that does not exist is named.

    References resolve in the own domain folder first, then in the system area.
    """


@_documented
class E204:
    """Jobs wait for each other in a circle.

    `automatic.after` must not lead back to the same job, or one success would start them for ever.
    """


@_documented
class E205:
    """Two Plannings at one level speak of one target.

    Both are rejected. At each level (the domain's folder, the system area) at most one Planning may apply
    to a target: narrow their `domains`.
    """


@_documented
class E206:
    """The job does not run there.

    A Planning or a request names a target that does not exist: a domain job needs a domain that its
    `domains` select, an installation job has none.
    """


@_documented
class E207:
    """The schedule is denser than the job allows.

    In a domain area no schedule may be denser than the job's `minInterval` (1m where the job says
    nothing).
    """


@_documented
class E208:
    """Automatic mode without criteria.

    `mode: automatic` needs a Job with `automatic` criteria, or the job would never run.
    """


@_documented
class E209:
    """The parameters of a request do not fit what the job declares.

    `reconcile describe job/NAME` lists a job's parameters with their types.
    """


@_documented
class E210:
    """Some domains do not set a variable that the command needs.

    `$(NAME)` in the command of a domain job may come from `environment` of its Domains. Each Domain that
    the job runs for must then set it, or the Job gives a default in its own `environment`.
    """


@_documented
class E301:
    """The file or folder cannot be read.

    What was last good in it is kept. Usual causes: its permissions, or a disk or network folder that
    fails. The reconciler reads files as the user that it runs as.
    """


@_documented
class E302:
    """A symlink leads out of the source, or nowhere.

    Symlinks may lead to anything within the folder that the source is (`-C`), and those in
    `jobs.d/domains/<domain>/` only to files of that same folder: otherwise a domain could read another's.
    """


@_documented
class E303:
    """The change is not signed by someone who may make it.

    With `--allowed-signers`, each commit that touches `jobs.d/domains/<domain>/` must be signed by an
    Administrator of that domain or by a system one (`identities: [signer:...]`). Until then, what was last
    good there is kept. A symlink in the place of that folder, or of `jobs.d/domains`, does not count.
    """


@_documented
class E304:
    """Not a file that can hold documents.

    It is a device, a pipe or a socket, its name is not text, or it lies in too many folders.
    """


@_documented
class E401:
    """Neither a test nor a document of jobs.d.

    A file of tests (`reconcile test`) is a stream of YAML documents. One with `test: its name` is a test,
    one with a `kind` is a document as in `jobs.d`: before the first test for all tests of the file, behind
    a test for that one. Without such documents, tests use the repository's `jobs.d`.
    """


@_documented
class E402:
    """A sentence of a test that cannot be used.

    A sentence says when and what: `at 2026-10-25T00:30Z expect backup run`, `on 2026-12-25 expect nothing`,
    `from T to T expect poll 96 runs`. Times without offset are in the test's `timeZone`, times without date
    on the day named last; `;` separates two sentences.

    Expected can be `run` (then also by what: `schedule`, `catch-up`, `automatic`, `request`), `nothing` (no
    run starts and no slot is settled), `skipped` and `missed` (at the time of the slot, then also why:
    `Paused`, `Calendar`, `StillRunning`, `ReconcilerDown`, ...), how a run ends (`success`, `warning`,
    `failure`, `interrupted`, `cancelled`), and what is so at a time: `running`, `queued`, `overdue`. A number
    before the word means exactly so many. Without a name all targets are meant; `job@*` is each of the job.

    Happen can `down`, `asleep`, `off` and `pause TARGET REASON` (all `from T to T`: no reconciler; the
    machine sleeps, or is switched off; a local pause), and `resume`, `run` (now), `cancel` and `change` (of
    watched files) of a target, and `remove Job/NAME` (all `at T`).
    """
