-- A process says that it is there.
-- KEYS: span, members. ARGV: process, away_after, remembered.
-- Answers: when the present span began, how many processes there are, and this one's number among them.

local now = micros_now()
local away, remembered = tonumber(ARGV[2]), tonumber(ARGV[3])
local latest = tonumber(redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2])
local span = redis.call('GET', KEYS[1])

-- A new span begins when nothing is known, when nobody was here for a while, and when the clock went back.
local known = span and latest and tonumber(span) <= now and latest <= now
if not known or now - latest > away then
  span = whole(now)
  if latest and latest > now then
    redis.call('DEL', KEYS[2])
  end
end
redis.call('SET', KEYS[1], span, 'PX', KEEP)
redis.call('ZADD', KEYS[2], whole(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. whole(now - remembered))
redis.call('PEXPIRE', KEYS[2], KEEP)

local members, rank = redis.call('ZRANGE', KEYS[2], 0, -1), 0
for _, name in ipairs(members) do
  if name < ARGV[1] then
    rank = rank + 1
  end
end
return { tonumber(span), #members, rank }
