-- What is known of a connection ages: when a process last looked after it, and which. Null before the first look.
ALTER TABLE connection_health ADD COLUMN seen_at BIGINT;
ALTER TABLE connection_health ADD COLUMN seen_by TEXT;

-- Why a question was closed without an answer; null where its answer was carried out, and for those from before this.
ALTER TABLE conflicts ADD COLUMN closed_because TEXT;
