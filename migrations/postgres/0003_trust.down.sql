ALTER TABLE links DROP COLUMN a_memory;
ALTER TABLE links DROP COLUMN b_memory;
ALTER TABLE links DROP COLUMN kept_apart;
ALTER TABLE intents DROP COLUMN decided;
