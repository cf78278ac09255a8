-- A process that finds Redis again says what it knows and what it has used meanwhile.
-- KEYS: span, members, state, day.
-- ARGV: span, settle, requests used, number of buckets, then for each its name, interval and burst; number of
--       hours known and pairs of an hour and its requests; the same for the requests used.
-- Answers: 0 when the span is another, otherwise 1.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 0 }
end
local now = micros_now()
local settled, spent = tonumber(ARGV[1]) + tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 4

local buckets = tonumber(ARGV[at])
at = at + 1
for _ = 1, buckets do
  local field = 'bucket:' .. ARGV[at]
  if spent > 0 then
    local stored = redis.call('HGET', KEYS[3], field)
    local bucket =
      bucket_of(stored, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), settled, now, 1)
    -- More than the whole burst only closes the bucket for what has long been over.
    local late = math.min(spent, bucket.burst) * bucket.interval
    redis.call('HSET', KEYS[3], field, whole(math.max(bucket.next, now) + late))
    redis.call('PEXPIRE', KEYS[3], KEEP)
  end
  at = at + 3
end

local hour = math.floor(now / HOUR)
day_of(KEYS[4], ARGV[1], hour)
local function each_hour(count)
  local hours = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, hours do
    if tonumber(ARGV[at]) > hour - HOURS_KEPT then
      count(ARGV[at], tonumber(ARGV[at + 1]))
    end
    at = at + 2
  end
end
each_hour(function(of, requests)
  local field = 'b' .. of
  if requests > (tonumber(redis.call('HGET', KEYS[4], field)) or 0) then
    redis.call('HSET', KEYS[4], field, whole(requests))
  end
end)
each_hour(function(of, requests)
  redis.call('HINCRBY', KEYS[4], 'u' .. of, whole(requests))
end)
return { 1 }
