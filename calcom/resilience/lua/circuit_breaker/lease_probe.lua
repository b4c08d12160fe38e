-- Take the lease of the probe, which one call of all processes gets once the circuit has been open long enough.
-- KEYS as in common.lua
-- ARGV[1] ms after which the lease of a probe that does not report ends
-- Returns {lease, or 0 if it is taken or too early, ms to wait}
-- include calcom/resilience/lua/circuit_breaker/common.lua
local now = clock()
local taken_until = math.max(number('open_until'), number('leased_until'))
if taken_until > now then return {0, taken_until - now} end
local lease = now + tonumber(ARGV[1])
redis.call('HSET', breaker, 'leased_until', lease)
redis.call('PEXPIRE', breaker, KEPT)
note('half-open', now)
return {lease, 0}
