-- Modules and transforms of accounts, their versions, and the components.

-- A component is kept once, whoever uploaded it; it goes with the last version that refers to it.
CREATE TABLE components (
  digest TEXT NOT NULL PRIMARY KEY,      -- SHA-256, in hex
  bytes  BLOB NOT NULL
) STRICT;

-- Deleted ones stay as marks for others to read.
CREATE TABLE registered_modules (
  account    TEXT NOT NULL,
  name       TEXT NOT NULL,
  kind       TEXT NOT NULL,              -- module or transform
  active     TEXT,                       -- digest of the active version
  before     TEXT NOT NULL,              -- JSON list of the digests that were active before it, the latest last
  settings   TEXT NOT NULL,              -- JSON object of texts
  limits     TEXT NOT NULL,              -- JSON object of numbers
  offered    INTEGER NOT NULL,
  quarantine TEXT,                       -- JSON object
  revision   INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  deleted    INTEGER NOT NULL DEFAULT 0,
  change     INTEGER NOT NULL UNIQUE,
  PRIMARY KEY (account, name)
) STRICT;

CREATE TABLE module_versions (
  account     TEXT NOT NULL,
  name        TEXT NOT NULL,
  digest      TEXT NOT NULL REFERENCES components (digest),
  version     TEXT NOT NULL,             -- semantic version
  kind        TEXT NOT NULL,
  uploader    TEXT NOT NULL,             -- the account of the key
  key_id      TEXT,                      -- null when a user uploaded it
  uploaded_ms INTEGER NOT NULL,
  size_bytes  INTEGER NOT NULL,
  imports     TEXT NOT NULL,             -- JSON list of texts
  metadata    TEXT,                      -- JSON object; null for a transform
  bindings    TEXT NOT NULL,             -- JSON list
  report      TEXT NOT NULL,             -- JSON object, what the check found
  PRIMARY KEY (account, name, digest)
) STRICT;
CREATE UNIQUE INDEX module_versions_by_version ON module_versions (account, name, version);
CREATE INDEX module_versions_by_digest ON module_versions (digest);

-- What was bound to a queue, because a broker does not tell: what nobody asks for any more after a start is released too.
CREATE TABLE bound_bindings (
  queue       TEXT NOT NULL,
  exchange    TEXT NOT NULL,
  routing_key TEXT NOT NULL,
  PRIMARY KEY (queue, exchange, routing_key)
) STRICT, WITHOUT ROWID;
