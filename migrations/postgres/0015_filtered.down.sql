ALTER TABLE links DROP COLUMN filtered;
