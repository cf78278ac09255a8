-- The spine: configuration, inbox, jobs, links, journal, change log, runs and questions.
-- Instants are microseconds since 1970. Ids are texts with a prefix, and sort by time of making.
-- What is compared or sorted has the collation "C": byte order, as in the other storage, and faster.

CREATE TABLE connections (
    name       TEXT COLLATE "C" PRIMARY KEY,
    document   TEXT NOT NULL,
    version    BIGINT NOT NULL,
    paused     BOOLEAN NOT NULL DEFAULT false,
    deleted_at BIGINT
);

CREATE TABLE syncs (
    name       TEXT COLLATE "C" PRIMARY KEY,
    document   TEXT NOT NULL,
    version    BIGINT NOT NULL,
    paused     BOOLEAN NOT NULL DEFAULT false,
    deleted_at BIGINT
);

CREATE TABLE schedules (
    sync    TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    spec    TEXT NOT NULL,
    paused  BOOLEAN NOT NULL DEFAULT false,
    next_at BIGINT,
    last_at BIGINT,
    PRIMARY KEY (sync, purpose)
);

-- The body comes last, so that reading the other columns does not walk its overflow pages.
CREATE TABLE deliveries (
    id           TEXT COLLATE "C" PRIMARY KEY,
    connection   TEXT COLLATE "C" NOT NULL,
    received_at  BIGINT NOT NULL,
    secret_index BIGINT NOT NULL,
    traceparent  TEXT,
    headers      TEXT NOT NULL,
    body         BYTEA NOT NULL
);
CREATE INDEX deliveries_received ON deliveries (received_at);

CREATE TABLE events (
    id          TEXT COLLATE "C" PRIMARY KEY,
    delivery    TEXT COLLATE "C" NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    connection  TEXT COLLATE "C" NOT NULL,
    dedupe_key  TEXT COLLATE "C" NOT NULL,
    stream      TEXT COLLATE "C",
    record      TEXT COLLATE "C",
    kind        TEXT COLLATE "C" NOT NULL,
    occurred_at BIGINT,
    received_at BIGINT NOT NULL,
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('accepted', 'ignored', 'quarantined', 'discarded')),
    problem     TEXT,
    jobs        TEXT NOT NULL
);
CREATE UNIQUE INDEX events_dedupe ON events (connection, dedupe_key);
CREATE INDEX events_delivery ON events (delivery);
CREATE INDEX events_record ON events (record, id) WHERE record IS NOT NULL;
CREATE INDEX events_quarantined ON events (id) WHERE state = 'quarantined';

-- `sync` is empty, and `record` is the number, for a job that does nothing.
CREATE TABLE jobs (
    id            TEXT COLLATE "C" PRIMARY KEY,
    kind          TEXT COLLATE "C" NOT NULL,
    sync          TEXT COLLATE "C" NOT NULL,
    side          TEXT COLLATE "C",
    record        TEXT COLLATE "C",
    lane          TEXT COLLATE "C" NOT NULL,
    class         BIGINT NOT NULL CHECK (class BETWEEN 0 AND 2),
    cause         TEXT NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('available', 'running', 'done', 'dead', 'discarded')),
    attempt       BIGINT NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    merged        BIGINT NOT NULL DEFAULT 0,
    run_at        BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    edited_a      BIGINT,
    edited_b      BIGINT,
    traceparent   TEXT,
    failure_code  TEXT,
    failure_chain TEXT,
    note          TEXT,
    lease_token   TEXT COLLATE "C",
    lease_until   BIGINT,
    claimed_at    BIGINT,
    CHECK ((state = 'running') = (lease_token IS NOT NULL)),
    CHECK ((state IN ('available', 'running')) = (ended_at IS NULL))
) WITH (
    -- Every job is updated at least twice: the dead versions must not pile up among the waiting ones.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02
);
-- These two make lanes true: at most one job of a lane waits, at most one runs.
CREATE UNIQUE INDEX jobs_waiting_lane ON jobs (lane) WHERE state = 'available';
CREATE UNIQUE INDEX jobs_running_lane ON jobs (lane) WHERE state = 'running';
-- What is due and what is leased is not told by the state: a statement that looks for a lane must not find
-- these indexes, nor one that looks for what is due the index of lanes. The planner, whose statistics are
-- of a moment when nothing waited, takes them for equally good.
CREATE INDEX jobs_due ON jobs (sync, class, run_at, id) WHERE lease_token IS NULL AND ended_at IS NULL;
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE lease_until IS NOT NULL;
-- `state` is in it so that counting reads the index alone.
CREATE INDEX jobs_dead ON jobs (id, sync, state) WHERE state = 'dead';
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE state IN ('done', 'discarded');
CREATE INDEX jobs_record ON jobs (record, id) WHERE record IS NOT NULL;

-- A snoozed attempt does not count, so its number is used again; only its last failure is kept.
CREATE TABLE job_attempts (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job        TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt    BIGINT NOT NULL,
    counted    BOOLEAN NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    code       TEXT NOT NULL,
    chain      TEXT NOT NULL
);
CREATE INDEX job_attempts_job ON job_attempts (job, seq);
CREATE UNIQUE INDEX job_attempts_snoozed ON job_attempts (job, attempt) WHERE NOT counted;

CREATE TABLE links (
    id           TEXT COLLATE "C" PRIMARY KEY,
    sync         TEXT COLLATE "C" NOT NULL,
    a_id         TEXT COLLATE "C",
    a_version    TEXT,
    a_checksum   TEXT,
    a_updated_at BIGINT,
    b_id         TEXT COLLATE "C",
    b_version    TEXT,
    b_checksum   TEXT,
    b_updated_at BIGINT,
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'retired')),
    revision     BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    base         TEXT NOT NULL
);
-- A record belongs to at most one active link of a sync.
-- What looks for a record of one side must find no index but that side's own.
CREATE UNIQUE INDEX links_active_a ON links (sync, a_id) WHERE state = 'active' AND a_id IS NOT NULL;
CREATE UNIQUE INDEX links_active_b ON links (sync, b_id) WHERE state = 'active' AND b_id IS NOT NULL;
CREATE INDEX links_retired_a ON links (a_id, sync, id) WHERE state = 'retired' AND a_id IS NOT NULL;
CREATE INDEX links_retired_b ON links (b_id, sync, id) WHERE state = 'retired' AND b_id IS NOT NULL;
CREATE INDEX links_sync ON links (sync, id);

-- What each side was last seen to hold. The keys are also in `record_keys`, to be searched. Both are looked
-- up by what is most particular first, so that no index can be used for a whole sync.
CREATE TABLE records (
    sync       TEXT COLLATE "C" NOT NULL,
    side       TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    checksum   TEXT,
    updated_at BIGINT,
    generation BIGINT NOT NULL,
    ignored    BOOLEAN NOT NULL DEFAULT false,
    keys       TEXT NOT NULL,
    PRIMARY KEY (id, side, sync)
);

CREATE TABLE record_keys (
    sync TEXT COLLATE "C" NOT NULL,
    side TEXT COLLATE "C" NOT NULL,
    key  TEXT COLLATE "C" NOT NULL,
    id   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key, side, sync, id)
);
CREATE INDEX record_keys_record ON record_keys (id, side, sync);

CREATE TABLE intents (
    id               TEXT COLLATE "C" PRIMARY KEY,
    sync             TEXT COLLATE "C" NOT NULL,
    link             TEXT COLLATE "C",
    side             TEXT COLLATE "C" NOT NULL,
    op               TEXT COLLATE "C" NOT NULL CHECK (op IN ('create', 'update', 'delete')),
    source           TEXT COLLATE "C",
    target           TEXT COLLATE "C",
    match_key        TEXT COLLATE "C",
    expected_version TEXT,
    state            TEXT COLLATE "C" NOT NULL CHECK (state IN ('planned', 'sent', 'unknown', 'confirmed', 'failed')),
    sends            BIGINT NOT NULL DEFAULT 0,
    job              TEXT COLLATE "C",
    created_at       BIGINT NOT NULL,
    sent_at          BIGINT,
    error            TEXT,
    fields           TEXT NOT NULL
);
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
    id          TEXT COLLATE "C" PRIMARY KEY,
    sync        TEXT COLLATE "C" NOT NULL,
    link        TEXT COLLATE "C",
    a           TEXT COLLATE "C",
    b           TEXT COLLATE "C",
    operation   TEXT NOT NULL,
    written     TEXT,
    intent      TEXT COLLATE "C",
    cause       TEXT NOT NULL,
    job         TEXT COLLATE "C",
    run         TEXT COLLATE "C",
    outcome     TEXT NOT NULL,
    error       TEXT,
    duration_ms BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    fields      TEXT NOT NULL
);
CREATE INDEX changes_sync ON changes (sync, id);
CREATE INDEX changes_link ON changes (link, id) WHERE link IS NOT NULL;
CREATE INDEX changes_a ON changes (a, id) WHERE a IS NOT NULL;
CREATE INDEX changes_b ON changes (b, id) WHERE b IS NOT NULL;
CREATE INDEX changes_at ON changes (at);

-- `subject` names what is asked about, so that one question is never open twice.
CREATE TABLE conflicts (
    id          TEXT COLLATE "C" PRIMARY KEY,
    sync        TEXT COLLATE "C" NOT NULL,
    link        TEXT COLLATE "C",
    side        TEXT COLLATE "C" NOT NULL,
    record      TEXT COLLATE "C" NOT NULL,
    field       TEXT COLLATE "C",
    subject     TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'answered', 'closed')),
    kind        TEXT COLLATE "C" NOT NULL,
    resolution  TEXT,
    created_at  BIGINT NOT NULL,
    answered_at BIGINT,
    closed_at   BIGINT
);
CREATE UNIQUE INDEX conflicts_subject ON conflicts (subject) WHERE state IN ('open', 'answered');
CREATE INDEX conflicts_link ON conflicts (link) WHERE state IN ('open', 'answered');
CREATE INDEX conflicts_record ON conflicts (sync, side, record) WHERE state IN ('open', 'answered');

-- A number is never given twice, even after its run was removed: listings are marked with it.
CREATE TABLE runs (
    number     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         TEXT COLLATE "C" NOT NULL UNIQUE,
    sync       TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    side       TEXT COLLATE "C",
    cause      TEXT NOT NULL,
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('running', 'succeeded', 'partial', 'failed', 'skipped')),
    started_at BIGINT NOT NULL,
    ended_at   BIGINT,
    error      TEXT,
    progress   TEXT NOT NULL
);
CREATE UNIQUE INDEX runs_running ON runs (sync, kind, coalesce(side, '')) WHERE state = 'running';
CREATE INDEX runs_sync ON runs (sync, id);
CREATE INDEX runs_ended ON runs (ended_at);

CREATE TABLE cursors (
    sync      TEXT COLLATE "C" NOT NULL,
    side      TEXT COLLATE "C" NOT NULL,
    cursor_at BIGINT NOT NULL,
    PRIMARY KEY (sync, side)
);

-- Totals that pruning does not change. `sync` is empty for what belongs to none. A total is the sum of
-- its slots: transactions that count at the same time do so in different rows, and do not wait for each other.
CREATE TABLE counters (
    sync  TEXT COLLATE "C" NOT NULL,
    name  TEXT COLLATE "C" NOT NULL,
    slot  BIGINT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (sync, name, slot)
) WITH (fillfactor = 50);
