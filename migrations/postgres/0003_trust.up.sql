-- What a link remembers of each of its records beyond what they hold, as JSON: when the record was made, since when
-- it is missing, what our own last write did to its time of change.
ALTER TABLE links ADD COLUMN a_memory TEXT;
ALTER TABLE links ADD COLUMN b_memory TEXT;

-- An operator took the two records apart: a retired link that does not revive by itself.
ALTER TABLE links ADD COLUMN kept_apart BOOLEAN NOT NULL DEFAULT false;
