ALTER TABLE connection_health DROP COLUMN held_at;
ALTER TABLE connection_health DROP COLUMN held_by;
ALTER TABLE connection_health DROP COLUMN unanswered_since;
ALTER TABLE connection_health DROP COLUMN asked_until;
