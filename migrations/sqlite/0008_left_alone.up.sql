-- How many records of a sync a person said to leave alone, without walking all of them.
CREATE INDEX records_left_alone ON records (sync, side, id) WHERE ignored;
