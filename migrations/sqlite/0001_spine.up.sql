-- The spine: configuration, inbox, jobs, links, journal, change log, runs and questions.
-- Instants are microseconds since 1970. Ids are texts with a prefix, and sort by time of making.

CREATE TABLE connections (
    name       TEXT PRIMARY KEY,
    document   TEXT NOT NULL,
    version    INTEGER NOT NULL,
    paused     INTEGER NOT NULL DEFAULT 0,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE syncs (
    name       TEXT PRIMARY KEY,
    document   TEXT NOT NULL,
    version    INTEGER NOT NULL,
    paused     INTEGER NOT NULL DEFAULT 0,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
    sync    TEXT NOT NULL,
    purpose TEXT NOT NULL,
    spec    TEXT NOT NULL,
    paused  INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    last_at INTEGER,
    PRIMARY KEY (sync, purpose)
) STRICT, WITHOUT ROWID;

-- The body comes last, so that reading the other columns does not walk its overflow pages.
CREATE TABLE deliveries (
    id           TEXT PRIMARY KEY,
    connection   TEXT NOT NULL,
    received_at  INTEGER NOT NULL,
    secret_index INTEGER NOT NULL,
    traceparent  TEXT,
    headers      TEXT NOT NULL,
    body         BLOB NOT NULL
) STRICT;
CREATE INDEX deliveries_received ON deliveries (received_at);

CREATE TABLE events (
    id          TEXT PRIMARY KEY,
    delivery    TEXT NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    connection  TEXT NOT NULL,
    dedupe_key  TEXT NOT NULL,
    stream      TEXT,
    record      TEXT,
    kind        TEXT NOT NULL,
    occurred_at INTEGER,
    received_at INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('accepted', 'ignored', 'quarantined', 'discarded')),
    problem     TEXT,
    jobs        TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_dedupe ON events (connection, dedupe_key);
CREATE INDEX events_delivery ON events (delivery);
CREATE INDEX events_record ON events (record, id) WHERE record IS NOT NULL;
CREATE INDEX events_quarantined ON events (id) WHERE state = 'quarantined';

-- `sync` is empty, and `record` is the number, for a job that does nothing.
CREATE TABLE jobs (
    id            TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    sync          TEXT NOT NULL,
    side          TEXT,
    record        TEXT,
    lane          TEXT NOT NULL,
    class         INTEGER NOT NULL CHECK (class BETWEEN 0 AND 2),
    cause         TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('available', 'running', 'done', 'dead', 'discarded')),
    attempt       INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    merged        INTEGER NOT NULL DEFAULT 0,
    run_at        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    edited_a      INTEGER,
    edited_b      INTEGER,
    traceparent   TEXT,
    failure_code  TEXT,
    failure_chain TEXT,
    note          TEXT,
    lease_token   TEXT,
    lease_until   INTEGER,
    claimed_at    INTEGER,
    CHECK ((state = 'running') = (lease_token IS NOT NULL))
) STRICT;
-- These two make lanes true: at most one job of a lane waits, at most one runs.
CREATE UNIQUE INDEX jobs_waiting_lane ON jobs (lane) WHERE state = 'available';
CREATE UNIQUE INDEX jobs_running_lane ON jobs (lane) WHERE state = 'running';
-- `state` is in these two so that counting reads the index alone.
CREATE INDEX jobs_due ON jobs (sync, class, run_at, id, state) WHERE state = 'available';
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (id, sync, state) WHERE state = 'dead';
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE state IN ('done', 'discarded');
CREATE INDEX jobs_record ON jobs (record, id) WHERE record IS NOT NULL;

-- A snoozed attempt does not count, so its number is used again; only its last failure is kept.
CREATE TABLE job_attempts (
    seq        INTEGER PRIMARY KEY,
    job        TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt    INTEGER NOT NULL,
    counted    INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    code       TEXT NOT NULL,
    chain      TEXT NOT NULL
) STRICT;
CREATE INDEX job_attempts_job ON job_attempts (job, seq);
CREATE UNIQUE INDEX job_attempts_snoozed ON job_attempts (job, attempt) WHERE counted = 0;

CREATE TABLE links (
    id           TEXT PRIMARY KEY,
    sync         TEXT NOT NULL,
    a_id         TEXT,
    a_version    TEXT,
    a_checksum   TEXT,
    a_updated_at INTEGER,
    b_id         TEXT,
    b_version    TEXT,
    b_checksum   TEXT,
    b_updated_at INTEGER,
    state        TEXT NOT NULL CHECK (state IN ('active', 'retired')),
    revision     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    base         TEXT NOT NULL
) STRICT;
-- A record belongs to at most one active link of a sync.
CREATE UNIQUE INDEX links_active_a ON links (sync, a_id) WHERE state = 'active';
CREATE UNIQUE INDEX links_active_b ON links (sync, b_id) WHERE state = 'active';
CREATE INDEX links_retired_a ON links (sync, a_id, id) WHERE state = 'retired';
CREATE INDEX links_retired_b ON links (sync, b_id, id) WHERE state = 'retired';
CREATE INDEX links_sync ON links (sync, id);

-- What each side was last seen to hold. The keys are also in `record_keys`, to be searched.
CREATE TABLE records (
    sync       TEXT NOT NULL,
    side       TEXT NOT NULL,
    id         TEXT NOT NULL,
    checksum   TEXT,
    updated_at INTEGER,
    generation INTEGER NOT NULL,
    ignored    INTEGER NOT NULL DEFAULT 0,
    keys       TEXT NOT NULL,
    PRIMARY KEY (sync, side, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE record_keys (
    sync TEXT NOT NULL,
    side TEXT NOT NULL,
    key  TEXT NOT NULL,
    id   TEXT NOT NULL,
    PRIMARY KEY (sync, side, key, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_keys_record ON record_keys (sync, side, id);

CREATE TABLE intents (
    id               TEXT PRIMARY KEY,
    sync             TEXT NOT NULL,
    link             TEXT,
    side             TEXT NOT NULL,
    op               TEXT NOT NULL CHECK (op IN ('create', 'update', 'delete')),
    source           TEXT,
    target           TEXT,
    match_key        TEXT,
    expected_version TEXT,
    state            TEXT NOT NULL CHECK (state IN ('planned', 'sent', 'unknown', 'confirmed', 'failed')),
    sends            INTEGER NOT NULL DEFAULT 0,
    job              TEXT,
    created_at       INTEGER NOT NULL,
    sent_at          INTEGER,
    error            TEXT,
    fields           TEXT NOT NULL
) STRICT;
-- Two creates of one record, or of two records that are the same, are never open together.
CREATE UNIQUE INDEX intents_open_source ON intents (sync, side, source)
    WHERE op = 'create' AND state IN ('planned', 'sent', 'unknown');
CREATE UNIQUE INDEX intents_open_key ON intents (sync, side, match_key)
    WHERE op = 'create' AND state IN ('planned', 'sent', 'unknown');
CREATE INDEX intents_open_link ON intents (link)
    WHERE link IS NOT NULL AND state IN ('planned', 'sent', 'unknown');
CREATE INDEX intents_open_age ON intents (created_at)
    WHERE state IN ('planned', 'sent', 'unknown');
CREATE INDEX intents_source ON intents (source) WHERE source IS NOT NULL;
CREATE INDEX intents_target ON intents (target) WHERE target IS NOT NULL;
CREATE INDEX intents_link ON intents (link) WHERE link IS NOT NULL;

CREATE TABLE changes (
    id          TEXT PRIMARY KEY,
    sync        TEXT NOT NULL,
    link        TEXT,
    a           TEXT,
    b           TEXT,
    operation   TEXT NOT NULL,
    written     TEXT,
    intent      TEXT,
    cause       TEXT NOT NULL,
    job         TEXT,
    run         TEXT,
    outcome     TEXT NOT NULL,
    error       TEXT,
    duration_ms INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    fields      TEXT NOT NULL
) STRICT;
CREATE INDEX changes_sync ON changes (sync, id);
CREATE INDEX changes_link ON changes (link, id) WHERE link IS NOT NULL;
CREATE INDEX changes_a ON changes (a, id) WHERE a IS NOT NULL;
CREATE INDEX changes_b ON changes (b, id) WHERE b IS NOT NULL;
CREATE INDEX changes_at ON changes (at);

-- `subject` names what is asked about, so that one question is never open twice.
CREATE TABLE conflicts (
    id          TEXT PRIMARY KEY,
    sync        TEXT NOT NULL,
    link        TEXT,
    side        TEXT NOT NULL,
    record      TEXT NOT NULL,
    field       TEXT,
    subject     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('open', 'answered', 'closed')),
    kind        TEXT NOT NULL,
    resolution  TEXT,
    created_at  INTEGER NOT NULL,
    answered_at INTEGER,
    closed_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX conflicts_subject ON conflicts (subject) WHERE state IN ('open', 'answered');
CREATE INDEX conflicts_link ON conflicts (link) WHERE state IN ('open', 'answered');
CREATE INDEX conflicts_record ON conflicts (sync, side, record) WHERE state IN ('open', 'answered');

-- A number is never given twice, even after its run was removed: listings are marked with it.
CREATE TABLE runs (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    sync       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    side       TEXT,
    cause      TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'partial', 'failed', 'skipped')),
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    error      TEXT,
    progress   TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX runs_running ON runs (sync, kind, coalesce(side, '')) WHERE state = 'running';
CREATE INDEX runs_sync ON runs (sync, id);
CREATE INDEX runs_ended ON runs (ended_at);

CREATE TABLE cursors (
    sync      TEXT NOT NULL,
    side      TEXT NOT NULL,
    cursor_at INTEGER NOT NULL,
    PRIMARY KEY (sync, side)
) STRICT, WITHOUT ROWID;

-- Totals that pruning does not change. `sync` is empty for what belongs to none.
CREATE TABLE counters (
    sync  TEXT NOT NULL,
    name  TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (sync, name)
) STRICT, WITHOUT ROWID;
