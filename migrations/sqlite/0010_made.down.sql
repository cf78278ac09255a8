DROP INDEX intents_made;
