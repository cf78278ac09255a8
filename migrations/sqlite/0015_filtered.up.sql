-- A filter leaves a record of the pair out: nothing of the pair is written until it lets it in again.
ALTER TABLE links ADD COLUMN filtered INTEGER NOT NULL DEFAULT 0;
