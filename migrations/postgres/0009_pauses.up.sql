-- Why something stands still, and how far something has come that was interrupted.

-- Since when a connection or a sync is paused, and why. Null for pauses that are older than this.
ALTER TABLE connections ADD COLUMN paused_at BIGINT;
ALTER TABLE connections ADD COLUMN paused_because TEXT;
ALTER TABLE syncs ADD COLUMN paused_at BIGINT;
ALTER TABLE syncs ADD COLUMN paused_because TEXT;

-- The most rows that the run of a job had listed and stored: whoever comes further than this has got on.
ALTER TABLE jobs ADD COLUMN furthest BIGINT NOT NULL DEFAULT 0;
