-- Become the one who loads an event type, or learn who is, or that it just failed.
-- KEYS[1] epoch   KEYS[2] lease   KEYS[3] note of a failure   KEYS[3+i] last changes of day i, to be loaded
-- ARGV[1] our token   ARGV[2] lifetime of the lease, ms   ARGV[3] settle time, ms   ARGV[4] lifetime of changes, ms
-- ARGV[5] ms for which an empty Redis gives no lease
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

-- Note [A lease that was lost]: whoever was loading has until then to put theirs back. Nobody holds this one.
local quiet = redis.call('GET', KEYS[1]) + ARGV[5] - now
if quiet > 0 then
  return {'theirs', '', quiet}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])

-- A day without a memory of changes may have lost it: only loads that begin from now on are believed.
local unknown = string.format('[0,%.0f]', now - ARGV[3])
for i = 4, #KEYS do
  redis.call('SET', KEYS[i], unknown, 'NX', 'PX', ARGV[4])
end
return {'ours', now}
