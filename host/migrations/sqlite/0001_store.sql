-- The store of one Hookbox (SQLite). `change` counts up over a table with every change, deletions included: whoever
-- remembers the last number that it has read asks for what came after it.

CREATE TABLE accounts (
  id       TEXT NOT NULL PRIMARY KEY,
  name     TEXT NOT NULL,
  tree     TEXT NOT NULL,                -- JSON list of ids, the root first
  reseller TEXT,
  deleted  INTEGER NOT NULL DEFAULT 0,
  change   INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE numbers (
  number  TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX numbers_by_account ON numbers (account);

CREATE TABLE keys (
  hash       TEXT NOT NULL PRIMARY KEY,  -- SHA-256 in hex; the key itself is nowhere
  account    TEXT NOT NULL,
  name       TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_account ON keys (account);

CREATE TABLE hooks (
  id               TEXT NOT NULL PRIMARY KEY,
  account          TEXT NOT NULL,
  document         TEXT NOT NULL,        -- JSON object, the public fields
  disabled_message TEXT,
  secrets          TEXT NOT NULL,        -- JSON list, each sealed under the host's key
  revision         INTEGER NOT NULL,
  created_ms       INTEGER NOT NULL,
  deleted          INTEGER NOT NULL DEFAULT 0,
  change           INTEGER NOT NULL UNIQUE
) STRICT;
CREATE INDEX hooks_by_account ON hooks (account) WHERE deleted = 0;

-- Firings that wait (state 0), or have ended undelivered (state 1).
CREATE TABLE firings (
  seq        INTEGER PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  account    TEXT NOT NULL,
  hook       TEXT NOT NULL,
  state      INTEGER NOT NULL,
  due_ms     INTEGER NOT NULL,           -- when the next try is due; for an undelivered one, when it ended
  free_ms    INTEGER NOT NULL,           -- from when on it may be claimed: `due_ms`, or the end of the lease
  lease      TEXT,                       -- of the last holder; whoever shows another one changes nothing
  tries      INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  reason     TEXT,
  inline     TEXT,                       -- the hook as JSON when it travelled in the message
  event      TEXT NOT NULL               -- JSON
) STRICT;
CREATE INDEX firings_by_free ON firings (free_ms) WHERE state = 0;
CREATE INDEX firings_by_hook ON firings (hook, state);
CREATE INDEX undelivered_by_age ON firings (due_ms) WHERE state = 1;

-- `seq` counts up as attempts are recorded, and never goes back, not even when all have been pruned; ids begin with the time, so their index grows at its end.
CREATE TABLE attempts (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  id       TEXT NOT NULL,
  account  TEXT NOT NULL,
  hook     TEXT NOT NULL,
  at_ms    INTEGER NOT NULL,
  document TEXT NOT NULL                 -- JSON, as it is shown
) STRICT;
CREATE UNIQUE INDEX attempts_by_id ON attempts (id);

-- Which attempts a hook (`h` and its id) or an account (`a` and its id) has. Not an index of the table, because each
-- attempt would then rewrite a page for its hook and one for its account: it is filled for thousands of attempts at
-- once, up to `attempts_indexed.seq`, and those after that are looked through.
CREATE TABLE attempt_index (
  owner TEXT NOT NULL,
  seq   INTEGER NOT NULL,
  PRIMARY KEY (owner, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts_indexed (
  seq INTEGER NOT NULL
) STRICT;
INSERT INTO attempts_indexed (seq) VALUES (0);

CREATE TABLE failures (
  hook    TEXT NOT NULL,
  at_ms   INTEGER NOT NULL,
  account TEXT NOT NULL,
  count   INTEGER NOT NULL,              -- failures of the hook in this millisecond
  PRIMARY KEY (hook, at_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE modules (
  id         TEXT NOT NULL PRIMARY KEY,
  version    TEXT NOT NULL,
  digest     TEXT NOT NULL,
  metadata   TEXT NOT NULL,              -- JSON object
  quarantine TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms          INTEGER NOT NULL,
  module         TEXT,
  module_version TEXT NOT NULL,
  reason         TEXT NOT NULL,
  message        TEXT NOT NULL           -- JSON
) STRICT;

CREATE TABLE notices (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  exchange    TEXT NOT NULL,
  routing_key TEXT NOT NULL,
  body        TEXT NOT NULL              -- JSON object
) STRICT;

CREATE TABLE kept_values (
  key   TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE webhook_settings (
  account  TEXT NOT NULL PRIMARY KEY,    -- empty for the system's own
  settings TEXT NOT NULL                 -- JSON object
) STRICT, WITHOUT ROWID;
