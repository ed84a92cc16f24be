"""The tables of `state.db`, and the numbered migrations that make them. Forward only, each in one transaction.

`targets`   one row a target: what lists show, when to look at it again, and its folded state (`seen`)
`runs`      one row a run, or a stretch of slots settled alike (`count` > 1)
`removed_runs` names of runs that are not in `runs` any more, so that they are not used again
`definitions` what runs were made of, by digest
`facts`     history in the order of writing; pruned by retention
`tokens`    run requests handled, for ever
`objects`   the last good version of every document
`files`     what each file of the source was when it was last read
`marks`     how far each administrator has opened the logs of a target
`letters`   outgoing mail and webhooks; `letter_items` what each says, `letter_tails` the ends of logs that they show
`told`      what each recipient knows about a target: failing, overdue, told when
`meta`      single values: `uid` of the installation; `clock`, wall time of the last commit; `serial`, how many
            transactions have written targets; and as JSON
            `source` {mode, revision, dirty, signer, observedRevision, appliedAt, rejectedFiles, warnings,
              held: {reason, message, approval}, refused: {reason, message}, prune: {digest, targets, reason},
              notices: [text], conditions: [{type, status, reason, message, lastTransitionTime}]}
            `daemon` {pid, startedAt, version, listen, host}
            `delivery` {counts: {sent, given-up, failed}, problems: {mail: {since, message, nextTry}}}
"""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE targets (
  job TEXT NOT NULL,
  domain TEXT NOT NULL,            -- '' for an installation job
  gone INTEGER NOT NULL DEFAULT 0, -- removed from the source, history kept
  mode TEXT NOT NULL,
  planning TEXT NOT NULL,          -- a few words for lists
  description TEXT NOT NULL DEFAULT '',
  labels TEXT NOT NULL DEFAULT '{}',
  path TEXT NOT NULL DEFAULT '',
  planning_path TEXT NOT NULL DEFAULT '',
  plan_digest TEXT NOT NULL,
  schedule_digest TEXT NOT NULL,
  wake_at REAL,                    -- epoch seconds; NULL: only when something happens
  next_run REAL,                   -- epoch seconds
  state TEXT NOT NULL DEFAULT '',  -- running, queued, or the state of the last run that started; '' never
  reason TEXT NOT NULL DEFAULT '',
  run TEXT NOT NULL DEFAULT '',    -- that run
  started REAL, finished REAL, duration REAL, exit_code INTEGER,
  success_at REAL,                 -- end of the last success or warning
  running INTEGER NOT NULL DEFAULT 0,
  queued INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  overdue TEXT NOT NULL DEFAULT '',
  paused TEXT NOT NULL DEFAULT '', -- until and why, for lists
  drift TEXT NOT NULL DEFAULT '',
  not_ready TEXT NOT NULL DEFAULT '',
  log_run INTEGER NOT NULL DEFAULT 0,   -- runs.id of the newest run with log lines (unread indicator)
  log_lines INTEGER NOT NULL DEFAULT 0, -- its lines
  seen TEXT,                       -- folded state, JSON; NULL before the first fact
  PRIMARY KEY (job, domain)
) WITHOUT ROWID;
CREATE INDEX targets_wake ON targets (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX targets_domain ON targets (domain, job);
CREATE INDEX targets_not_ready ON targets (job, domain) WHERE not_ready != '';
CREATE INDEX targets_active ON targets (job, domain) WHERE running > 0 OR queued > 0;

CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given again: marks speak of it
  job TEXT NOT NULL, domain TEXT NOT NULL, run TEXT NOT NULL,
  group_id TEXT NOT NULL DEFAULT '',
  trigger TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  message TEXT NOT NULL DEFAULT '',
  cause TEXT NOT NULL DEFAULT '',
  requester TEXT NOT NULL DEFAULT '',
  note TEXT NOT NULL DEFAULT '',
  parameters TEXT,
  slot REAL, first REAL, count INTEGER NOT NULL DEFAULT 1,
  queued REAL, started REAL, finished REAL,
  exit_code INTEGER, signal INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  lines INTEGER NOT NULL DEFAULT 0, infos INTEGER NOT NULL DEFAULT 0,
  warnings INTEGER NOT NULL DEFAULT 0, errors INTEGER NOT NULL DEFAULT 0,
  progress INTEGER,
  revision TEXT NOT NULL DEFAULT '', dirty INTEGER NOT NULL DEFAULT 0,
  digest TEXT NOT NULL DEFAULT '',
  waiting TEXT NOT NULL DEFAULT '',  -- why it waits
  UNIQUE (job, domain, run)
);
CREATE INDEX runs_target ON runs (job, domain, id);
CREATE INDEX runs_domain ON runs (domain, id);
CREATE INDEX runs_state ON runs (state, id);
CREATE INDEX runs_group ON runs (group_id) WHERE group_id != '';

CREATE TABLE removed_runs (          -- names of runs that retention or a person removed: they are never used again
  job TEXT NOT NULL, domain TEXT NOT NULL, run TEXT NOT NULL,
  kept_until REAL NOT NULL,          -- no clock is set back to before its instant by then
  PRIMARY KEY (job, domain, run)
) WITHOUT ROWID;
CREATE INDEX removed_runs_kept ON removed_runs (kept_until);

CREATE TABLE definitions (
  digest TEXT PRIMARY KEY,           -- of what a run was made of; frozen at the claim of its first attempt
  body TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE facts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  job TEXT NOT NULL, domain TEXT NOT NULL,
  kind TEXT NOT NULL, run TEXT NOT NULL DEFAULT '',
  body TEXT NOT NULL
);
CREATE INDEX facts_target ON facts (job, domain, seq);

CREATE TABLE tokens (
  token TEXT PRIMARY KEY,           -- <domain|_installation>/<name>, or annotation:...
  digest TEXT NOT NULL,
  handled REAL NOT NULL,
  outcome TEXT NOT NULL,            -- accepted, refused, expired
  requester TEXT NOT NULL DEFAULT '',
  body TEXT NOT NULL                -- what became of it, JSON
) WITHOUT ROWID;

CREATE TABLE objects (
  kind TEXT NOT NULL, domain TEXT NOT NULL, name TEXT NOT NULL,
  path TEXT NOT NULL, line INTEGER NOT NULL,
  digest TEXT NOT NULL, revision TEXT NOT NULL DEFAULT '',
  held TEXT NOT NULL DEFAULT '',    -- why this is a last good version and not the source's
  body TEXT NOT NULL,
  PRIMARY KEY (kind, domain, name)
) WITHOUT ROWID;

CREATE TABLE files (
  path TEXT PRIMARY KEY,
  mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
  digest TEXT NOT NULL,             -- of the content
  rejected TEXT NOT NULL DEFAULT '',-- diagnostics, JSON; '' when all of it is applied
  objects TEXT NOT NULL DEFAULT '[]'-- identities in it, JSON
) WITHOUT ROWID;

CREATE TABLE marks (
  administrator TEXT NOT NULL, job TEXT NOT NULL, domain TEXT NOT NULL,
  log_run INTEGER NOT NULL, log_lines INTEGER NOT NULL,
  PRIMARY KEY (administrator, job, domain)
) WITHOUT ROWID;

CREATE TABLE letters (
  id INTEGER PRIMARY KEY,
  state TEXT NOT NULL,              -- collecting, pending, sent, given-up
  medium TEXT NOT NULL,             -- mail, webhook
  recipient TEXT NOT NULL,          -- an address, or the name of a webhook's secret
  key TEXT NOT NULL,                -- what it is about: run, group, slots, digest
  run_group TEXT NOT NULL,          -- the group whose runs it waits for; '' none
  due REAL NOT NULL,                -- collecting: when to look at it; pending: when to try
  latest REAL NOT NULL,             -- collecting: leaves then, whatever still runs
  created REAL NOT NULL,
  message_id TEXT NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '',
  sent REAL,
  body TEXT NOT NULL
);
CREATE INDEX letters_due ON letters (state, due) WHERE state IN ('collecting', 'pending');
CREATE INDEX letters_key ON letters (key, recipient);
CREATE INDEX letters_group ON letters (run_group) WHERE state = 'collecting' AND run_group != '';

CREATE TABLE letter_items (
  id INTEGER PRIMARY KEY,
  letter INTEGER NOT NULL,
  job TEXT NOT NULL, domain TEXT NOT NULL, run TEXT NOT NULL, kind TEXT NOT NULL,
  count INTEGER NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX letter_items_letter ON letter_items (letter, job, domain, kind);

CREATE TABLE letter_tails (
  job TEXT NOT NULL, domain TEXT NOT NULL, run TEXT NOT NULL,
  tail BLOB NOT NULL,               -- of the log, secrets masked
  PRIMARY KEY (job, domain, run)
) WITHOUT ROWID;

CREATE TABLE told (
  job TEXT NOT NULL, domain TEXT NOT NULL, recipient TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (job, domain, recipient)
) WITHOUT ROWID;
""",
    """
-- The number of the transaction that wrote what lists show the last time.
ALTER TABLE targets ADD COLUMN serial INTEGER NOT NULL DEFAULT 0;
""",
)
VERSION = len(MIGRATIONS)
