-- What long listings leave behind page by page, so that they go on where they stood.

-- What a whole comparison has read of records that have no partner yet. `run` is the run's number. The
-- documents hold the mapped fields and what a link would remember; they go when the run has ended.
CREATE TABLE surveyed (
    run      BIGINT NOT NULL,
    sync     TEXT COLLATE "C" NOT NULL,
    side     TEXT COLLATE "C" NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    keys     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (run, side, id)
);

-- Where the listing of each side goes on.
CREATE TABLE listing_places (
    run      BIGINT NOT NULL,
    side     TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (run, side)
);

-- What the match keys in `record_keys` are made of. A sync that now makes them otherwise compares both sides
-- whole before it goes by them again.
CREATE TABLE key_forms (
    sync TEXT COLLATE "C" PRIMARY KEY,
    form TEXT NOT NULL
);
