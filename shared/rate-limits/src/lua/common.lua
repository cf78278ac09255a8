-- What the scripts share. Times are microseconds since 1970, by the clock of this Redis.

local function micros_now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Lua's own form of great numbers loses digits.
local function whole(number)
  return string.format('%.0f', number)
end

local HOUR = 3600000000
-- The present hour and the 24 before it.
local HOURS_KEPT = 25
-- Nothing here is of use for longer than a day and an hour, in milliseconds.
local KEEP = whole(26 * 3600000)

-- The requests of each hour that still counts. `b…` is what was reported of earlier spans, `u…` what was
-- counted in this one; when a new span begins, the one becomes part of the other.
local function day_of(key, span, hour)
  local fields = redis.call('HGETALL', key)
  local folded = false
  for i = 1, #fields, 2 do
    if fields[i] == 'span' then
      folded = fields[i + 1] ~= span
    end
  end
  local totals = {}
  for i = 1, #fields, 2 do
    local name, at = string.match(fields[i], '^([bu])(%d+)$')
    at = tonumber(at)
    if at and at <= hour - HOURS_KEPT then
      redis.call('HDEL', key, fields[i])
    elseif at then
      totals[at] = (totals[at] or 0) + tonumber(fields[i + 1])
      if folded and name == 'u' then
        redis.call('HINCRBY', key, 'b' .. whole(at), fields[i + 1])
        redis.call('HDEL', key, fields[i])
      end
    end
  end
  redis.call('HSET', key, 'span', span)
  redis.call('PEXPIRE', key, KEEP)
  return totals
end

-- Requests are given out up to two seconds before their turn, and reported late; no more lies in between.
local SLACK = 4000000

-- A bucket as it is now: when its next request would be exactly on time. It was empty when the span settled.
local function bucket_of(stored, interval, burst, settled, now, slower)
  local ahead = burst * interval
  local bucket = { interval = math.ceil(interval * slower), burst = burst }
  bucket.ahead = math.max(ahead, bucket.interval)
  local empty = settled + bucket.ahead
  local bucket_next = math.max(tonumber(stored) or 0, empty)
  -- A clock that was set back must not close the bucket.
  bucket.next = math.min(bucket_next, math.max(now, settled) + 2 * bucket.ahead + SLACK)
  return bucket
end
