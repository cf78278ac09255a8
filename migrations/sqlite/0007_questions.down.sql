DROP TABLE connection_health;
ALTER TABLE conflicts DROP COLUMN shown;
