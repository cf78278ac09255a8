ALTER TABLE conflicts DROP COLUMN closed_because;
ALTER TABLE connection_health DROP COLUMN seen_by;
ALTER TABLE connection_health DROP COLUMN seen_at;
