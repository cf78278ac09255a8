ALTER TABLE connection_health DROP COLUMN clock_offset_at;
ALTER TABLE connection_health DROP COLUMN clock_offset;
