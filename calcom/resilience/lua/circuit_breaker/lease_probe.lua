-- Take the lease of the probe: one call over all processes, once the time of being open is over.
-- KEYS as in common.lua
-- ARGV[1] ms after which a probe that never reports is given up
-- Returns {lease, or 0 when there is none, ms to wait for another chance}
-- include calcom/resilience/lua/circuit_breaker/common.lua
local now = clock()
local taken_until = math.max(number('open_until'), number('leased_until'))
if taken_until > now then return {0, taken_until - now} end
local lease = now + tonumber(ARGV[1])
redis.call('HSET', breaker, 'leased_until', lease)
redis.call('PEXPIRE', breaker, KEPT)
note('half-open', now)
return {lease, 0}
