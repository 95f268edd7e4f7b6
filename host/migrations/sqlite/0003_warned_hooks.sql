-- Hooks that were warned of (`webhook_failing`) in their present spell of failures. A spell is over, and the mark goes, when
-- the hook's last failure goes, whatever takes it away: age, an edit, disabling, deletion.

CREATE TABLE warned_hooks (
  hook TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TRIGGER spells_end AFTER DELETE ON failures
WHEN NOT EXISTS (SELECT 1 FROM failures WHERE hook = OLD.hook)
BEGIN
  DELETE FROM warned_hooks WHERE hook = OLD.hook;
END;
