-- Limits that accounts above have set for an account's modules. None any more: an empty object, for others to read.
CREATE TABLE module_limits (
  account TEXT NOT NULL PRIMARY KEY,
  limits  TEXT NOT NULL,                 -- JSON object of numbers
  change  INTEGER NOT NULL UNIQUE
) STRICT;
