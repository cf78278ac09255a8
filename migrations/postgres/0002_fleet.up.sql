-- The fleet, and what running it showed.

-- Who leads. One row a role; whoever holds it until `held_until` leads.

CREATE TABLE leases (
    name       TEXT COLLATE "C" PRIMARY KEY,
    holder     TEXT COLLATE "C" NOT NULL,
    held_until BIGINT NOT NULL
);

-- A lane has one dead letter: a newer one takes the place of the older.
CREATE INDEX jobs_dead_lane ON jobs (lane, id) WHERE state = 'dead';
