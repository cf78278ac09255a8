ALTER TABLE records DROP COLUMN refused;
