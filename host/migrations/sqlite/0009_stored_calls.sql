-- Calls of modules that are over their share of the workers, kept to be made later.
CREATE TABLE stored_calls (
  seq        INTEGER PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,       -- a digest of message and module, so that a redelivery is stored once
  account    TEXT NOT NULL,              -- whom the call is charged to; empty: the operator
  module     TEXT NOT NULL,              -- account/name, or the name alone of an operator's
  free_ms    INTEGER NOT NULL,           -- from when on it may be claimed
  lease      TEXT,                       -- of the last holder; whoever shows another one changes nothing
  created_ms INTEGER NOT NULL,
  bytes      INTEGER NOT NULL,           -- of the message
  message    TEXT NOT NULL               -- JSON
) STRICT;
CREATE INDEX stored_calls_by_free ON stored_calls (module, account, free_ms);

-- How many there are, added up by the triggers, so that a bound is checked without counting.
CREATE TABLE stored_call_lines (
  module  TEXT NOT NULL,
  account TEXT NOT NULL,
  calls   INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  PRIMARY KEY (module, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX stored_call_lines_by_account ON stored_call_lines (account);

CREATE TRIGGER stored_call_kept AFTER INSERT ON stored_calls BEGIN
  INSERT INTO stored_call_lines (module, account, calls, bytes)
    SELECT NEW.module, NEW.account, 0, 0 WHERE NOT EXISTS
      (SELECT 1 FROM stored_call_lines WHERE module = NEW.module AND account = NEW.account);
  UPDATE stored_call_lines SET calls = calls + 1, bytes = bytes + NEW.bytes
    WHERE module = NEW.module AND account = NEW.account;
END;

CREATE TRIGGER stored_call_gone AFTER DELETE ON stored_calls BEGIN
  UPDATE stored_call_lines SET calls = calls - 1, bytes = bytes - OLD.bytes
    WHERE module = OLD.module AND account = OLD.account;
  DELETE FROM stored_call_lines WHERE module = OLD.module AND account = OLD.account AND calls <= 0;
END;
