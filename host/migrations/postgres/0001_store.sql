-- The store of one Hookbox, which any number of nodes share (PostgreSQL 13 or later).
--
-- Texts compare as bytes (COLLATE "C"), so that listings have one order, whatever the database's locale. Documents are
-- JSON as text: the order of their fields is their owner's, and a payload comes back byte for byte. What is looked for
-- inside a document has a column of its own, because PostgreSQL reads no document that has \u0000 in a text.
--
-- `change` counts up over all tables that have one, with every change, deletions included: whoever remembers the last
-- number that it has read asks for what came after it. That needs numbers to become visible in their order: whoever
-- takes any holds the configuration lock (see postgres.rs) until its transaction ends.
CREATE SEQUENCE changes;

CREATE TABLE accounts (
  id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name        TEXT COLLATE "C" NOT NULL,
  tree        TEXT NOT NULL,              -- JSON list of ids, the root first
  parent      TEXT COLLATE "C",           -- the last of the tree
  reseller    TEXT COLLATE "C",
  document    TEXT NOT NULL,              -- JSON object, the public fields; its name is that of the column
  realm       TEXT COLLATE "C",           -- of the document, when it is a text
  is_reseller BOOLEAN NOT NULL DEFAULT FALSE,
  revision    BIGINT NOT NULL DEFAULT 1,
  created_ms  BIGINT NOT NULL,
  deleted     BOOLEAN NOT NULL DEFAULT FALSE,
  change      BIGINT NOT NULL UNIQUE
);
CREATE INDEX accounts_by_parent ON accounts (parent, id) WHERE NOT deleted;
-- Hashes, because names have no bound here and an entry of a tree has one.
CREATE INDEX accounts_by_name ON accounts USING hash (name) WHERE NOT deleted;
CREATE INDEX accounts_by_realm ON accounts USING hash (realm) WHERE NOT deleted;

-- The tree turned round: who is below an account, at any depth. Deleted accounts stay in it and are passed over.
CREATE TABLE account_ancestors (
  ancestor TEXT COLLATE "C" NOT NULL,
  account  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (ancestor, account)
);
CREATE INDEX account_ancestors_by_account ON account_ancestors (account);

-- A number that belongs to nobody any more stays, as a mark for others to read.
CREATE TABLE numbers (
  number  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  account TEXT COLLATE "C",
  change  BIGINT NOT NULL UNIQUE
);
CREATE INDEX numbers_by_account ON numbers (account) WHERE account IS NOT NULL;

CREATE TABLE keys (
  hash         TEXT COLLATE "C" NOT NULL PRIMARY KEY,  -- SHA-256 in hex; the key itself is nowhere
  id           TEXT COLLATE "C" NOT NULL UNIQUE,       -- what names it in public; random
  account      TEXT COLLATE "C" NOT NULL,
  name         TEXT NOT NULL,
  created_ms   BIGINT NOT NULL,
  last_used_ms BIGINT
);
CREATE INDEX keys_by_account ON keys (account);

CREATE TABLE hooks (
  id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  account          TEXT COLLATE "C" NOT NULL,
  document         TEXT NOT NULL,         -- JSON object, the public fields
  enabled          BOOLEAN NOT NULL,      -- the document's; true when it does not say
  disabled_message TEXT,
  secrets          TEXT NOT NULL,         -- JSON list, each sealed under the host's key
  revision         BIGINT NOT NULL,
  created_ms       BIGINT NOT NULL,
  deleted          BOOLEAN NOT NULL DEFAULT FALSE,
  change           BIGINT NOT NULL UNIQUE
);
CREATE INDEX hooks_by_account ON hooks (account, id) WHERE NOT deleted;
CREATE INDEX hooks_switched_off ON hooks (account, id)
  WHERE NOT deleted AND NOT enabled AND disabled_message IS NOT NULL;

-- Firings that wait (state 0), or have ended undelivered (state 1). Rows come and go by the thousand: pages are left
-- room, and are swept often.
CREATE TABLE firings (
  seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id         TEXT COLLATE "C" NOT NULL UNIQUE,
  account    TEXT COLLATE "C" NOT NULL,
  hook       TEXT COLLATE "C" NOT NULL,
  state      SMALLINT NOT NULL,
  due_ms     BIGINT NOT NULL,             -- when the next try is due; for an undelivered one, when it ended
  free_ms    BIGINT NOT NULL,             -- from when on it may be claimed: `due_ms`, or the end of the lease
  lease      TEXT,                        -- of the last holder; whoever shows another one changes nothing
  tries      BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  reason     TEXT,
  inline     TEXT,                        -- the hook as JSON when it travelled in the message
  event      TEXT NOT NULL                -- JSON
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_insert_scale_factor = 0.1);
-- Whose turn it is, and how many each account has waiting.
CREATE INDEX firings_by_turn ON firings (account, hook, free_ms) WHERE state = 0;
CREATE INDEX firings_by_hook ON firings (hook, state);
CREATE INDEX undelivered_by_age ON firings (due_ms) WHERE state = 1;
-- Firings that wait are in none of these, so that storing one costs no more.
CREATE INDEX undelivered_by_account ON firings (account, due_ms, seq) WHERE state = 1;
CREATE INDEX undelivered_by_hook ON firings (hook, due_ms, seq) WHERE state = 1;
CREATE INDEX firings_inline ON firings (account) WHERE inline IS NOT NULL;

-- `seq` counts up as attempts are recorded. By the day (since 1970, UTC) on which they began: a day that nobody may see any more
-- is dropped whole. The days are made as they are needed (postgres/days.rs). An attempt's id begins with its time, so one
-- that is recorded twice is so on one day.
CREATE SEQUENCE attempt_seq;
CREATE TABLE attempts (
  day      INTEGER NOT NULL,
  seq      BIGINT NOT NULL DEFAULT nextval('attempt_seq'),
  id       TEXT COLLATE "C" NOT NULL,
  account  TEXT COLLATE "C" NOT NULL,
  hook     TEXT COLLATE "C" NOT NULL,
  at_ms    BIGINT NOT NULL,
  success  BOOLEAN NOT NULL,
  duration_ms BIGINT NOT NULL,            -- in the document too; overviews read it of thousands
  document TEXT NOT NULL,                 -- JSON, as it is shown
  payload  TEXT,                          -- JSON object; null when the request's body is the payload
  PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE INDEX attempts_by_account ON attempts (account, seq);
CREATE INDEX attempts_by_hook ON attempts (hook, seq);
-- For an audit, which walks over all: rows lie in this order, so a summary of blocks is enough, and costs nearly nothing.
CREATE INDEX attempts_by_seq ON attempts USING brin (seq);

CREATE TABLE failures (
  hook    TEXT COLLATE "C" NOT NULL,
  at_ms   BIGINT NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  count   BIGINT NOT NULL,                -- failures of the hook in this millisecond
  PRIMARY KEY (hook, at_ms)
);
CREATE INDEX failures_by_account ON failures (account, hook);
CREATE INDEX failures_by_age ON failures (at_ms);

-- Hooks that were warned of (`webhook_failing`) in their present spell of failures. A spell is over, and the mark goes,
-- when the hook's last failure goes; whoever takes failures away, or warns, holds the configuration lock.
CREATE TABLE warned_hooks (
  hook TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

CREATE TABLE modules (
  id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  version    TEXT NOT NULL,
  digest     TEXT NOT NULL,
  metadata   TEXT NOT NULL                -- JSON object
);

-- Faults of modules and transforms, counted over a window as the failures of hooks are; and which of the operator's modules
-- are in quarantine (a tenant's says so in registered_modules).
CREATE TABLE module_faults (
  module TEXT COLLATE "C" NOT NULL,       -- account/name, or the name alone of an operator's
  digest TEXT COLLATE "C" NOT NULL,       -- of the component that failed
  at_ms  BIGINT NOT NULL,
  count  BIGINT NOT NULL,                 -- faults in the group that was written with this time
  PRIMARY KEY (module, digest, at_ms)
);
CREATE INDEX module_faults_by_age ON module_faults (at_ms);

-- Bound to the component: another one under the same name is not meant.
CREATE TABLE quarantined_modules (
  module     TEXT COLLATE "C" NOT NULL,
  digest     TEXT COLLATE "C" NOT NULL,
  since_ms   BIGINT NOT NULL,
  quarantine TEXT NOT NULL,               -- JSON object
  PRIMARY KEY (module, digest)
);

CREATE TABLE dead_letters (
  id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at_ms          BIGINT NOT NULL,
  module         TEXT COLLATE "C",
  module_version TEXT NOT NULL,
  reason         TEXT NOT NULL,
  owner          TEXT COLLATE "C",
  message        TEXT NOT NULL            -- JSON
);
CREATE INDEX dead_letters_by_owner ON dead_letters (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX dead_letters_by_module ON dead_letters (module, id);
-- To count the dead letters of each module and owner without a look at the letters.
CREATE INDEX dead_letters_by_module_and_owner ON dead_letters (module, owner, id);

CREATE TABLE notices (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  exchange    TEXT NOT NULL,
  routing_key TEXT NOT NULL,
  body        TEXT NOT NULL               -- JSON object
);

CREATE TABLE kept_values (
  key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE webhook_settings (
  account  TEXT COLLATE "C" NOT NULL PRIMARY KEY,  -- empty for the system's own
  settings TEXT NOT NULL                  -- JSON object
);

-- Limits that accounts above have set for an account's modules. None any more: an empty object, for others to read.
CREATE TABLE module_limits (
  account TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  limits  TEXT NOT NULL,                  -- JSON object of numbers
  change  BIGINT NOT NULL UNIQUE
);

CREATE TABLE resend_jobs (
  id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  account    TEXT COLLATE "C" NOT NULL,
  hook       TEXT COLLATE "C",
  from_ms    BIGINT NOT NULL,
  to_ms      BIGINT NOT NULL,
  outcome    TEXT NOT NULL,
  state      TEXT NOT NULL,
  progress   TEXT NOT NULL,
  resent     BIGINT NOT NULL,
  skipped    BIGINT NOT NULL,
  reason     TEXT,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  free_ms    BIGINT NOT NULL,             -- from when on it may be claimed: when it was made, or the end of the lease
  lease_ms   BIGINT NOT NULL DEFAULT 0    -- for how long it was claimed
);
CREATE INDEX resend_jobs_by_account ON resend_jobs (account, created_ms, id);
CREATE INDEX resend_jobs_by_free ON resend_jobs (free_ms, id) WHERE state = 'running';

-- What came from KAZOO's CouchDB, and of which document.
CREATE TABLE origins (
  kind     TEXT COLLATE "C" NOT NULL,     -- account, key, number or hook
  id       TEXT COLLATE "C" NOT NULL,     -- of the row that came of the document; a key's hash
  account  TEXT COLLATE "C" NOT NULL,     -- whose it is
  database TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL,     -- the document's _id
  revision TEXT NOT NULL,                 -- the document's _rev; empty: to be looked at again in any case
  round    BIGINT NOT NULL,               -- the last reading of everything that has seen the document
  PRIMARY KEY (kind, id)
);
CREATE INDEX origins_by_document ON origins (database, document);
CREATE INDEX origins_by_account ON origins (account);
CREATE INDEX origins_by_round ON origins (round);

-- A component is kept once, whoever uploaded it; it goes with the last version that refers to it.
CREATE TABLE components (
  digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,    -- SHA-256, in hex
  bytes  BYTEA NOT NULL
);

-- Modules and transforms of accounts. Deleted ones stay as marks for others to read.
CREATE TABLE registered_modules (
  account    TEXT COLLATE "C" NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  kind       TEXT NOT NULL,               -- module or transform
  active     TEXT,                        -- digest of the active version
  before     TEXT NOT NULL,               -- JSON list of the digests that were active before it, the latest last
  settings   TEXT NOT NULL,               -- JSON object of texts
  limits     TEXT NOT NULL,               -- JSON object of numbers
  offered    BOOLEAN NOT NULL,
  quarantine TEXT,                        -- JSON object
  revision   BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  deleted    BOOLEAN NOT NULL DEFAULT FALSE,
  change     BIGINT NOT NULL UNIQUE,
  PRIMARY KEY (account, name)
);

CREATE TABLE module_versions (
  account     TEXT COLLATE "C" NOT NULL,
  name        TEXT COLLATE "C" NOT NULL,
  digest      TEXT COLLATE "C" NOT NULL REFERENCES components (digest),
  version     TEXT COLLATE "C" NOT NULL,  -- semantic version
  kind        TEXT NOT NULL,
  uploader    TEXT NOT NULL,              -- the account of the key
  key_id      TEXT,                       -- null when a user uploaded it
  uploaded_ms BIGINT NOT NULL,
  size_bytes  BIGINT NOT NULL,
  imports     TEXT NOT NULL,              -- JSON list of texts
  metadata    TEXT,                       -- JSON object; null for a transform
  bindings    TEXT NOT NULL,              -- JSON list
  report      TEXT NOT NULL,              -- JSON object, what the check found
  seq         BIGINT GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (account, name, digest),
  UNIQUE (account, name, version)
);
CREATE INDEX module_versions_by_digest ON module_versions (digest);

-- Calls of modules that are over their share of the workers, kept to be made later.
CREATE TABLE stored_calls (
  seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id         TEXT COLLATE "C" NOT NULL UNIQUE,     -- a digest of message and module, so that a redelivery is stored once
  account    TEXT COLLATE "C" NOT NULL,   -- whom the call is charged to; empty: the operator
  module     TEXT COLLATE "C" NOT NULL,   -- account/name, or the name alone of an operator's
  free_ms    BIGINT NOT NULL,             -- from when on it may be claimed
  lease      TEXT,                        -- of the last holder; whoever shows another one changes nothing
  created_ms BIGINT NOT NULL,
  bytes      BIGINT NOT NULL,             -- of the message
  message    TEXT NOT NULL                -- JSON
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX stored_calls_by_free ON stored_calls (module, account, free_ms, seq);
CREATE INDEX stored_calls_by_account ON stored_calls (account);

-- How many there are, added up by the triggers, so that a bound is checked without counting. Whoever stores or removes
-- calls holds the lock of stored calls (see postgres/stored_calls.rs).
CREATE TABLE stored_call_lines (
  module  TEXT COLLATE "C" NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  calls   BIGINT NOT NULL,
  bytes   BIGINT NOT NULL,
  PRIMARY KEY (module, account)
);
CREATE INDEX stored_call_lines_by_account ON stored_call_lines (account);

CREATE FUNCTION count_stored_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO stored_call_lines AS line (module, account, calls, bytes) VALUES (NEW.module, NEW.account, 1, NEW.bytes)
  ON CONFLICT (module, account) DO UPDATE SET calls = line.calls + 1, bytes = line.bytes + excluded.bytes;
  RETURN NULL;
END $$;
CREATE TRIGGER stored_call_kept AFTER INSERT ON stored_calls FOR EACH ROW EXECUTE FUNCTION count_stored_call();

CREATE FUNCTION uncount_stored_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE stored_call_lines SET calls = calls - 1, bytes = bytes - OLD.bytes
  WHERE module = OLD.module AND account = OLD.account;
  DELETE FROM stored_call_lines WHERE module = OLD.module AND account = OLD.account AND calls <= 0;
  RETURN NULL;
END $$;
CREATE TRIGGER stored_call_gone AFTER DELETE ON stored_calls FOR EACH ROW EXECUTE FUNCTION uncount_stored_call();

-- What was bound to a queue, because a broker does not tell.
CREATE TABLE bound_bindings (
  queue       TEXT COLLATE "C" NOT NULL,
  exchange    TEXT COLLATE "C" NOT NULL,
  routing_key TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (queue, exchange, routing_key)
);

-- What calls of modules and transforms cost, added up.
CREATE TABLE module_costs (
  account          TEXT COLLATE "C" NOT NULL,      -- whom it is charged to; empty: the operator
  module           TEXT COLLATE "C" NOT NULL,      -- account/name, or the name alone of an operator's
  day              BIGINT NOT NULL,       -- since 1970, UTC
  calls            BIGINT NOT NULL,
  fuel             BIGINT NOT NULL,
  time_us          BIGINT NOT NULL,
  faults           BIGINT NOT NULL,       -- calls that failed
  memory_bytes_max BIGINT NOT NULL,       -- of the largest call
  PRIMARY KEY (module, day, account)
);
CREATE INDEX module_costs_by_day ON module_costs (day);
