-- How often a record was made of late: whatever is made and taken away again and again has an end.
CREATE INDEX intents_made ON intents (match_key, created_at) WHERE op = 'create' AND match_key IS NOT NULL;
