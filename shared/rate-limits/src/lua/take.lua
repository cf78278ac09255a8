-- Takes requests out of all limits of a connection at once, or out of none.
-- KEYS: span, members, state, day.
-- ARGV: span, away_after, settle, want, extra, wait_max, pause, daily (0: none), daily_seen (-1: unknown),
--       number of buckets, then for each its name, interval, burst and what the system said is left (-1).
-- Answers: 0 when the span is another; otherwise 1, the wait and the cause (1 paused, 2 bucket, 3 daily) of
-- the first that was refused, what is left (-1: no limit), the pause, the number taken, the wait of each,
-- and pairs of an hour and its requests.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 0 }
end
-- Requests beyond those that wait are taken if their turn comes within this.
local AHEAD = 20000

local now = micros_now()
local settled = tonumber(ARGV[1]) + tonumber(ARGV[3])
local want, extra, wait_max = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local daily, daily_seen = tonumber(ARGV[8]), tonumber(ARGV[9])
local hour = math.floor(now / HOUR)

-- Processes that are away go by their own share: the others have what is left.
local members = redis.call('ZCARD', KEYS[2])
local away = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. whole(now - tonumber(ARGV[2])))
local slower = members / math.max(members - away, 1)
if slower < 1 then
  slower = 1
end

local pause = tonumber(redis.call('HGET', KEYS[3], 'pause')) or 0
if tonumber(ARGV[7]) > 0 and now + tonumber(ARGV[7]) > pause then
  pause = now + tonumber(ARGV[7])
  redis.call('HSET', KEYS[3], 'pause', whole(pause))
  redis.call('PEXPIRE', KEYS[3], KEEP)
end

local buckets = {}
for i = 11, 10 + 4 * tonumber(ARGV[10]), 4 do
  local stored = redis.call('HGET', KEYS[3], 'bucket:' .. ARGV[i])
  local bucket =
    bucket_of(stored, tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), settled, now, slower)
  bucket.field = 'bucket:' .. ARGV[i]
  local seen = tonumber(ARGV[i + 3])
  if seen >= 0 then
    local used = bucket.burst - math.min(seen, bucket.burst)
    bucket.next = math.max(bucket.next, now + used * bucket.interval)
  end
  buckets[#buckets + 1] = bucket
end

local hours, used, unseen = {}, 0, 0
if daily > 0 then
  hours = day_of(KEYS[4], ARGV[1], hour)
  for _, requests in pairs(hours) do
    used = used + requests
  end
  if daily_seen >= 0 and daily - used > daily_seen then
    unseen = daily - used - daily_seen
    used = used + unseen
  end
end

local waits, retry, cause = {}, 0, 0
for i = 1, want + extra do
  if daily > 0 and used >= daily then
    local oldest = hour
    for at, requests in pairs(hours) do
      if requests > 0 and at < oldest then
        oldest = at
      end
    end
    retry, cause = (oldest + HOURS_KEPT) * HOUR - now, 3
    break
  end
  local start, by = math.max(now, pause), 1
  for _, bucket in ipairs(buckets) do
    local turn = bucket.next - (bucket.ahead - bucket.interval)
    if turn > start then
      start, by = turn, 2
    end
  end
  local wait = start - now
  if wait > wait_max or (i > want and wait > AHEAD) then
    if i <= want then
      retry, cause = wait, by
    end
    break
  end
  for _, bucket in ipairs(buckets) do
    bucket.next = math.max(bucket.next, start) + bucket.interval
  end
  used = used + 1
  waits[#waits + 1] = wait
end

local left = -1
for _, bucket in ipairs(buckets) do
  redis.call('HSET', KEYS[3], bucket.field, whole(bucket.next))
  local here = math.floor((bucket.ahead - (bucket.next - now)) / bucket.interval)
  here = math.max(here, 0)
  left = left < 0 and here or math.min(left, here)
end
if #buckets > 0 then
  redis.call('PEXPIRE', KEYS[3], KEEP)
end
if daily > 0 then
  local counted = #waits + unseen
  if counted > 0 then
    redis.call('HINCRBY', KEYS[4], 'u' .. whole(hour), whole(counted))
    hours[hour] = (hours[hour] or 0) + counted
  end
  local here = math.max(daily - used, 0)
  left = left < 0 and here or math.min(left, here)
end

local answer = { 1, retry, cause, left, math.max(pause - now, 0), #waits }
for _, wait in ipairs(waits) do
  answer[#answer + 1] = wait
end
for at, requests in pairs(hours) do
  answer[#answer + 1] = at
  answer[#answer + 1] = requests
end
return answer
