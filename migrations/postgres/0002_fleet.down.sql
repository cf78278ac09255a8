ALTER TABLE jobs DROP COLUMN edits;
DROP INDEX jobs_dead_lane;
DROP TABLE leases;
