-- What a link remembers of each of its records beyond what they hold, as JSON: when the record was made, since when
-- it is missing, what our own last write did to its time of change.
ALTER TABLE links ADD COLUMN a_memory TEXT;
ALTER TABLE links ADD COLUMN b_memory TEXT;

-- What a write was decided upon, as JSON: should its answer be lost, the change log still says what lost against it.
ALTER TABLE intents ADD COLUMN decided TEXT;

-- An operator took the two records apart: a retired link that does not revive by itself.
ALTER TABLE links ADD COLUMN kept_apart INTEGER NOT NULL DEFAULT 0;
