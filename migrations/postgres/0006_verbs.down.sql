ALTER TABLE connections DROP COLUMN reset_at;
