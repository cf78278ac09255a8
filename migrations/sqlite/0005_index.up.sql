-- What long listings leave behind page by page, so that they go on where they stood.

-- What a whole comparison has read of records that have no partner yet. `run` is the run's number. The
-- documents hold the mapped fields and what a link would remember; they go when the run has ended.
CREATE TABLE surveyed (
    run      INTEGER NOT NULL,
    sync     TEXT NOT NULL,
    side     TEXT NOT NULL,
    id       TEXT NOT NULL,
    keys     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (run, side, id)
) STRICT, WITHOUT ROWID;

-- Where the listing of each side goes on.
CREATE TABLE listing_places (
    run      INTEGER NOT NULL,
    side     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (run, side)
) STRICT, WITHOUT ROWID;

-- What the match keys in `record_keys` are made of. A sync that now makes them otherwise compares both sides
-- whole before it goes by them again.
CREATE TABLE key_forms (
    sync TEXT PRIMARY KEY,
    form TEXT NOT NULL
) STRICT, WITHOUT ROWID;
