ALTER TABLE events DROP COLUMN clock_offset;
