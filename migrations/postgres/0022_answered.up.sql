-- The checksum of a record as only the answer to our last write to it has shown it, as long as no listing and no reading shows
-- the same. Empty or null: nothing is waited for.
ALTER TABLE records ADD COLUMN answered TEXT;
