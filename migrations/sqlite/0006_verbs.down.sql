DROP TABLE notices;
ALTER TABLE connections DROP COLUMN reset_at;
