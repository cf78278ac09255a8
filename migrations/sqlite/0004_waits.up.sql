-- What waits, what kills its process, and what a person has settled.

-- How often a job went back to waiting since it last came forward, since when, and for what; and how often
-- it was carried on after a step, without an end. Each raises the wait, and at last makes a dead letter.
ALTER TABLE jobs ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN waits_since INTEGER;
ALTER TABLE jobs ADD COLUMN waits_for TEXT;
ALTER TABLE jobs ADD COLUMN steps INTEGER NOT NULL DEFAULT 0;
-- How often in a row its process went away while it ran.
ALTER TABLE jobs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
-- To make due what waits for something that has come.
CREATE INDEX jobs_waiting_for ON jobs (sync, waits_for, id)
    WHERE state = 'available' AND waits_for IS NOT NULL;

-- The checksum that a record had when a person discarded its dead letter: as long as it has that, nobody is
-- asked again.
ALTER TABLE records ADD COLUMN let_be TEXT;

-- The deletes of the last hour that the brake has let pass. One link counts once.
CREATE TABLE deletes_admitted (
    sync TEXT NOT NULL,
    link TEXT NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (sync, link)
) STRICT, WITHOUT ROWID;
