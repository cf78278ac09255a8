-- What operators do by hand.

-- When an operator last had a system tried again at once: workers close its breaker when this moves.
ALTER TABLE connections ADD COLUMN reset_at BIGINT;
