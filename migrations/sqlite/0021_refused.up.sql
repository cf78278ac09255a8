-- How a record was, its checksum and its time of change, when what was to be done for it was refused last. While its dead letter
-- waits for a person and it is still so, listings do not have it tried again.
ALTER TABLE records ADD COLUMN refused TEXT;
