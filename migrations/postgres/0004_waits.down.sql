DROP TABLE deletes_admitted;
ALTER TABLE records DROP COLUMN let_be;
DROP INDEX jobs_waiting_for;
ALTER TABLE jobs DROP COLUMN crashes;
ALTER TABLE jobs DROP COLUMN steps;
ALTER TABLE jobs DROP COLUMN waits_for;
ALTER TABLE jobs DROP COLUMN waits_since;
ALTER TABLE jobs DROP COLUMN waits;
