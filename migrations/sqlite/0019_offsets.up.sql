-- How far the clock of a connection's system is from ours, in microseconds, as a process that asks the system measured it last,
-- and when: for those that only hear from the system.
ALTER TABLE connection_health ADD COLUMN clock_offset INTEGER;
ALTER TABLE connection_health ADD COLUMN clock_offset_at INTEGER;
