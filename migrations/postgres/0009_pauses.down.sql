ALTER TABLE jobs DROP COLUMN furthest;
ALTER TABLE syncs DROP COLUMN paused_because;
ALTER TABLE syncs DROP COLUMN paused_at;
ALTER TABLE connections DROP COLUMN paused_because;
ALTER TABLE connections DROP COLUMN paused_at;
