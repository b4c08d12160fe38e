-- Take the lease on loading an event type, or learn who holds it, or that a load just failed.
-- KEYS[1] generation   KEYS[2] lease   KEYS[3] note of a failure   KEYS[3+i] last changes of day i, to be loaded
-- ARGV[1] our token   ARGV[2] lifetime of the lease, ms   ARGV[3] consistency lag, ms   ARGV[4] lifetime of changes, ms
-- ARGV[5] ms for which an empty Redis grants no lease
-- Returns {'failed', note}, or {'theirs', token, ms left}, or {'ours', when the load begins in ms}
-- include cachectl/infra/clock.lua
local note = redis.call('GET', KEYS[3])
if note then
  return {'failed', note}
end

local holder = redis.call('GET', KEYS[2])
if holder then
  return {'theirs', holder, redis.call('PTTL', KEYS[2])}
end

local now = clock()
redis.call('SET', KEYS[1], now, 'NX', 'PX', ARGV[4])

-- Note [A lease that was lost]: until then a running load may restore its lease. This one has no holder.
local quiet = redis.call('GET', KEYS[1]) + ARGV[5] - now
if quiet > 0 then
  return {'theirs', '', quiet}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])

-- A day without recorded changes may have lost them: only loads that begin from now on count.
local unknown = string.format('[0,%.0f]', now - ARGV[3])
for i = 4, #KEYS do
  redis.call('SET', KEYS[i], unknown, 'NX', 'PX', ARGV[4])
end
return {'ours', now}
