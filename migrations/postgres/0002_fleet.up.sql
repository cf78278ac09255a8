-- The fleet, and what running it showed.

-- Who leads. One row a role; whoever holds it until `held_until` leads.

CREATE TABLE leases (
    name       TEXT COLLATE "C" PRIMARY KEY,
    holder     TEXT COLLATE "C" NOT NULL,
    held_until BIGINT NOT NULL
);

-- A lane has one dead letter: a newer one takes the place of the older.
CREATE INDEX jobs_dead_lane ON jobs (lane, id) WHERE state = 'dead';

-- What an operator wants a replayed job to write in place of what it would: text by field, as JSON.
ALTER TABLE jobs ADD COLUMN edits TEXT;
