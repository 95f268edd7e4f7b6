-- Whose turn it is among stored firings, and how many each account has waiting.

-- Each hook with firings that wait, once: so that a hook with a hundred thousand of them is one row to whoever looks for
-- what is due, and counting an account's is no walk over its firings. Kept by the triggers alone, whatever changes a firing.
CREATE TABLE waiting_hooks (
  account TEXT NOT NULL,
  hook    TEXT NOT NULL,
  waiting INTEGER NOT NULL,              -- firings that wait, or are under a lease
  free_ms INTEGER NOT NULL,              -- the earliest `free_ms` among them
  PRIMARY KEY (account, hook)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_hooks_by_free ON waiting_hooks (free_ms, account, hook);

CREATE INDEX firings_by_turn ON firings (account, hook, free_ms) WHERE state = 0;
-- Nobody looks for the longest due of all hooks any more.
DROP INDEX firings_by_free;

INSERT INTO waiting_hooks
SELECT account, hook, count(*), min(free_ms) FROM firings WHERE state = 0 GROUP BY account, hook;

CREATE TRIGGER firing_stored AFTER INSERT ON firings WHEN new.state = 0 BEGIN
  INSERT INTO waiting_hooks (account, hook, waiting, free_ms) VALUES (new.account, new.hook, 1, new.free_ms)
  ON CONFLICT (account, hook) DO UPDATE SET waiting = waiting + 1;
  UPDATE waiting_hooks SET free_ms = new.free_ms
  WHERE account = new.account AND hook = new.hook AND free_ms > new.free_ms;
END;

CREATE TRIGGER firing_stored_again AFTER UPDATE OF state ON firings WHEN old.state <> 0 AND new.state = 0 BEGIN
  INSERT INTO waiting_hooks (account, hook, waiting, free_ms) VALUES (new.account, new.hook, 1, new.free_ms)
  ON CONFLICT (account, hook) DO UPDATE SET waiting = waiting + 1;
  UPDATE waiting_hooks SET free_ms = new.free_ms
  WHERE account = new.account AND hook = new.hook AND free_ms > new.free_ms;
END;

CREATE TRIGGER firing_postponed AFTER UPDATE OF free_ms ON firings
WHEN old.state = 0 AND new.state = 0 AND old.free_ms <> new.free_ms BEGIN
  UPDATE waiting_hooks SET free_ms =
    (SELECT free_ms FROM firings WHERE account = new.account AND hook = new.hook AND state = 0 ORDER BY free_ms LIMIT 1)
  WHERE account = new.account AND hook = new.hook AND (free_ms = old.free_ms OR free_ms > new.free_ms);
END;

CREATE TRIGGER firing_ended AFTER UPDATE OF state ON firings WHEN old.state = 0 AND new.state <> 0 BEGIN
  UPDATE waiting_hooks SET waiting = waiting - 1 WHERE account = old.account AND hook = old.hook;
  DELETE FROM waiting_hooks WHERE account = old.account AND hook = old.hook AND waiting <= 0;
  UPDATE waiting_hooks SET free_ms =
    (SELECT free_ms FROM firings WHERE account = old.account AND hook = old.hook AND state = 0 ORDER BY free_ms LIMIT 1)
  WHERE account = old.account AND hook = old.hook AND free_ms = old.free_ms;
END;

CREATE TRIGGER firing_removed AFTER DELETE ON firings WHEN old.state = 0 BEGIN
  UPDATE waiting_hooks SET waiting = waiting - 1 WHERE account = old.account AND hook = old.hook;
  DELETE FROM waiting_hooks WHERE account = old.account AND hook = old.hook AND waiting <= 0;
  UPDATE waiting_hooks SET free_ms =
    (SELECT free_ms FROM firings WHERE account = old.account AND hook = old.hook AND state = 0 ORDER BY free_ms LIMIT 1)
  WHERE account = old.account AND hook = old.hook AND free_ms = old.free_ms;
END;
