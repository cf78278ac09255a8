-- What operators do by hand.

-- When an operator last had a system tried again at once: workers close its breaker when this moves.
ALTER TABLE connections ADD COLUMN reset_at BIGINT;

-- What a process has to say to operators, such as that it could not take over a changed configuration.
CREATE TABLE notices (
    process TEXT COLLATE "C" PRIMARY KEY,
    text    TEXT NOT NULL,
    at      BIGINT NOT NULL
);
