ALTER TABLE connection_health DROP COLUMN clock_at;
ALTER TABLE connection_health DROP COLUMN clock_by;
ALTER TABLE connection_health DROP COLUMN clock_wrong;
ALTER TABLE connection_health DROP COLUMN clock_doubt;
