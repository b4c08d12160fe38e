-- Open the circuit, longer each time.
-- KEYS as in common.lua
-- ARGV[i] ms for which it stays open the i-th time since it was last closed; the last for all later times
-- Returns 1 if this call opened it.
-- include calcom/resilience/lua/circuit_breaker/common.lua
local now = clock()
if number('open_until') > now then return 0 end
local opened = number('opened') + 1
redis.call('DEL', breaker)
redis.call('HSET', breaker, 'opened', opened, 'open_until', now + ARGV[math.min(opened, #ARGV)])
redis.call('PEXPIRE', breaker, KEPT)
note('open', now)
return 1
