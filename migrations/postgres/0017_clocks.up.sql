-- Why the clock of a connection's system is not used, and whether it is known to be wrong. Null where nobody doubts it;
-- which process told of it, and when.
ALTER TABLE connection_health ADD COLUMN clock_doubt TEXT;
ALTER TABLE connection_health ADD COLUMN clock_wrong BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE connection_health ADD COLUMN clock_by TEXT;
ALTER TABLE connection_health ADD COLUMN clock_at BIGINT;
