-- By how much the time of an event was corrected, in microseconds: what is known of the sender's clock changes, and the times
-- of two events can only be compared as the sender said them.
ALTER TABLE events ADD COLUMN clock_offset BIGINT NOT NULL DEFAULT 0;
