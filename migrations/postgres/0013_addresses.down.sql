ALTER TABLE connections DROP COLUMN moved_at;
ALTER TABLE connections DROP COLUMN linked_to;
ALTER TABLE connections DROP COLUMN address;
