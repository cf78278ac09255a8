ALTER TABLE records DROP COLUMN answered;
