-- Faults of modules and transforms, counted over a window as the failures of hooks are; and which of the operator's modules
-- are in quarantine (a tenant's says so in registered_modules).

CREATE TABLE module_faults (
  module TEXT NOT NULL,                  -- account/name, or the name alone of an operator's
  digest TEXT NOT NULL,                  -- of the component that failed
  at_ms  INTEGER NOT NULL,
  count  INTEGER NOT NULL,               -- faults in the group that was written with this time
  PRIMARY KEY (module, digest, at_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX module_faults_by_age ON module_faults (at_ms);

-- Bound to the component: another one under the same name is not meant.
CREATE TABLE quarantined_modules (
  module     TEXT NOT NULL,
  digest     TEXT NOT NULL,
  since_ms   INTEGER NOT NULL,
  quarantine TEXT NOT NULL,              -- JSON object
  PRIMARY KEY (module, digest)
) STRICT, WITHOUT ROWID;

-- To count the dead letters of each module and owner without a look at the letters.
CREATE INDEX dead_letters_by_module_and_owner ON dead_letters (module, owner);

-- Nothing ever wrote it.
ALTER TABLE modules DROP COLUMN quarantine;
