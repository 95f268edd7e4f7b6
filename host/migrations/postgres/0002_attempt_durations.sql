-- How long an attempt took, beside the document that says it too: an overview reads it of thousands of attempts, and to parse
-- their documents would be most of what that costs. Null for those that were recorded before.
ALTER TABLE attempts ADD COLUMN duration_ms BIGINT;
