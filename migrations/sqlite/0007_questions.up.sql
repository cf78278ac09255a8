-- What a person needs to see: the records of a question, and what is wrong with a connection.

-- The records that a question is about, with their mapped fields, as they were read when it was asked: JSON.
ALTER TABLE conflicts ADD COLUMN shown TEXT;

-- What the processes last found out about a connection. Written when that changes, not for each request.
CREATE TABLE connection_health (
    connection       TEXT PRIMARY KEY,
    state            TEXT NOT NULL,
    reason           TEXT,
    since            INTEGER NOT NULL,
    -- Webhooks whose signature was wrong: how many in the last minute in which there were some, and when.
    badly_signed     INTEGER NOT NULL DEFAULT 0,
    badly_signed_at  INTEGER
) STRICT, WITHOUT ROWID;
