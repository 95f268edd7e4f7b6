-- What REST needs: accounts as documents with revisions, numbers as they change, keys that can be named, listings in
-- pages, bulk resends.

ALTER TABLE accounts ADD COLUMN document TEXT NOT NULL DEFAULT '{}';       -- JSON object, the public fields; its name is that of the column
ALTER TABLE accounts ADD COLUMN is_reseller INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE accounts ADD COLUMN created_ms INTEGER NOT NULL DEFAULT 0;
-- When they were made was not kept: as of now.
UPDATE accounts SET document = json_object('name', name), created_ms = unixepoch() * 1000;
UPDATE accounts SET is_reseller = 1
WHERE tree = '[]' OR id IN (SELECT reseller FROM accounts WHERE reseller IS NOT NULL AND deleted = 0);
CREATE INDEX accounts_by_parent ON accounts (json_extract(tree, '$[#-1]'), id) WHERE deleted = 0;
CREATE INDEX accounts_by_name ON accounts (name) WHERE deleted = 0;
CREATE INDEX accounts_by_realm ON accounts (json_extract(document, '$.realm')) WHERE deleted = 0;

-- The tree turned round: who is below an account, at any depth. Kept by the triggers alone; deleted accounts stay in it
-- and are passed over.
CREATE TABLE account_ancestors (
  ancestor TEXT NOT NULL,
  account  TEXT NOT NULL,
  PRIMARY KEY (ancestor, account)
) STRICT, WITHOUT ROWID;
INSERT INTO account_ancestors SELECT DISTINCT above.value, accounts.id FROM accounts, json_each(accounts.tree) AS above;
CREATE TRIGGER account_made AFTER INSERT ON accounts BEGIN
  INSERT INTO account_ancestors SELECT DISTINCT value, new.id FROM json_each(new.tree);
END;
CREATE TRIGGER account_moved AFTER UPDATE OF tree ON accounts WHEN new.tree <> old.tree BEGIN
  DELETE FROM account_ancestors WHERE account = new.id AND ancestor IN (SELECT value FROM json_each(old.tree));
  INSERT INTO account_ancestors SELECT DISTINCT value, new.id FROM json_each(new.tree);
END;

-- A number that belongs to nobody any more stays, as a mark for others to read.
CREATE TABLE changing_numbers (
  number  TEXT NOT NULL PRIMARY KEY,
  account TEXT,
  change  INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
INSERT INTO changing_numbers SELECT number, account, row_number() OVER (ORDER BY number) FROM numbers;
DROP TABLE numbers;
ALTER TABLE changing_numbers RENAME TO numbers;
CREATE INDEX numbers_by_account ON numbers (account) WHERE account IS NOT NULL;

ALTER TABLE keys ADD COLUMN id TEXT NOT NULL DEFAULT '';                   -- what names it in public; random
ALTER TABLE keys ADD COLUMN last_used_ms INTEGER;
UPDATE keys SET id = lower(hex(randomblob(16)));
CREATE UNIQUE INDEX keys_by_id ON keys (id);

DROP INDEX hooks_by_account;
CREATE INDEX hooks_by_account ON hooks (account, id) WHERE deleted = 0;
CREATE INDEX hooks_switched_off ON hooks (account, id) WHERE deleted = 0 AND disabled_message IS NOT NULL;

-- Firings that wait are in none of these, so that storing one costs no more than before.
CREATE INDEX undelivered_by_account ON firings (account, due_ms) WHERE state = 1;
CREATE INDEX undelivered_by_hook ON firings (hook, due_ms) WHERE state = 1;
CREATE INDEX firings_inline ON firings (account) WHERE inline IS NOT NULL;

ALTER TABLE attempts ADD COLUMN payload TEXT;                              -- JSON object; null when the request's body is the payload

ALTER TABLE dead_letters ADD COLUMN owner TEXT;
UPDATE dead_letters SET owner = json_extract(message, '$.within') WHERE json_valid(message);
CREATE INDEX dead_letters_by_owner ON dead_letters (owner) WHERE owner IS NOT NULL;
CREATE INDEX dead_letters_by_module ON dead_letters (module);

CREATE TABLE resend_jobs (
  id         TEXT NOT NULL PRIMARY KEY,
  account    TEXT NOT NULL,
  hook       TEXT,
  from_ms    INTEGER NOT NULL,
  to_ms      INTEGER NOT NULL,
  outcome    TEXT NOT NULL,
  state      TEXT NOT NULL,
  progress   TEXT NOT NULL,
  resent     INTEGER NOT NULL,
  skipped    INTEGER NOT NULL,
  reason     TEXT,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  free_ms    INTEGER NOT NULL,           -- from when on it may be claimed: when it was made, or the end of the lease
  lease_ms   INTEGER NOT NULL DEFAULT 0  -- for how long it was claimed
) STRICT, WITHOUT ROWID;
CREATE INDEX resend_jobs_by_account ON resend_jobs (account, created_ms);
CREATE INDEX resend_jobs_by_free ON resend_jobs (free_ms) WHERE state = 'running';
