ALTER TABLE connection_health DROP COLUMN rightly_signed_at;
ALTER TABLE connection_health DROP COLUMN badly_signed_from;
