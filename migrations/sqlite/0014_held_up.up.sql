-- What holds requests to a connection up: the system asked to wait, or does not answer a request that is out. Null
-- where nothing does; which process told of it, and when.
ALTER TABLE connection_health ADD COLUMN asked_until INTEGER;
ALTER TABLE connection_health ADD COLUMN unanswered_since INTEGER;
ALTER TABLE connection_health ADD COLUMN held_by TEXT;
ALTER TABLE connection_health ADD COLUMN held_at INTEGER;
