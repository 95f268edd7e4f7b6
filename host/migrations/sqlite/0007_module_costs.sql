-- What calls of modules and transforms cost, added up.
CREATE TABLE module_costs (
  account          TEXT NOT NULL,        -- whom it is charged to; empty: the operator
  module           TEXT NOT NULL,        -- account/name, or the name alone of an operator's
  day              INTEGER NOT NULL,     -- since 1970, UTC
  calls            INTEGER NOT NULL,
  fuel             INTEGER NOT NULL,
  time_us          INTEGER NOT NULL,
  faults           INTEGER NOT NULL,     -- calls that failed
  memory_bytes_max INTEGER NOT NULL,     -- of the largest call
  PRIMARY KEY (module, day, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX module_costs_by_day ON module_costs (day);
