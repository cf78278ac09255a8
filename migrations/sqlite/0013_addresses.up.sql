-- To which account a connection leads: where it was last worked with, where its records were linked, and since when the two
-- differ while there are linked records. Null of what is older than this, or was never started.
ALTER TABLE connections ADD COLUMN address TEXT;
ALTER TABLE connections ADD COLUMN linked_to TEXT;
ALTER TABLE connections ADD COLUMN moved_at INTEGER;
