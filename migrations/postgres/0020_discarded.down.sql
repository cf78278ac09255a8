ALTER TABLE events DROP COLUMN discarded_because;
