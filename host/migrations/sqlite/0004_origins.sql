-- What came from KAZOO's CouchDB, and of which document: so that it can go when the document has gone, and nothing else.
CREATE TABLE origins (
  kind     TEXT NOT NULL,                -- account, key, number or hook
  id       TEXT NOT NULL,                -- of the row that came of the document; a key's hash
  account  TEXT NOT NULL,                -- whose it is
  database TEXT NOT NULL,
  document TEXT NOT NULL,                -- the document's _id
  revision TEXT NOT NULL,                -- the document's _rev; empty: to be looked at again in any case
  round    INTEGER NOT NULL,             -- the last reading of everything that has seen the document
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX origins_by_document ON origins (database, document);
CREATE INDEX origins_by_account ON origins (account);
CREATE INDEX origins_by_round ON origins (round);
