DROP INDEX jobs_dead_lane;
DROP TABLE leases;
