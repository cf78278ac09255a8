-- Ends the pause of a connection: an operator says that the system is not to be waited for.
-- KEYS: state. Answers: 1.

redis.call('HDEL', KEYS[1], 'pause')
return { 1 }
