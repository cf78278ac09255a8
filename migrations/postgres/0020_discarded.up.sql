-- Why an operator discarded an event that could not be understood.
ALTER TABLE events ADD COLUMN discarded_because TEXT;
