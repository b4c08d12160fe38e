-- Close the circuit and reset its counts.
-- KEYS as in common.lua
-- Returns 1 if it was open.
-- include calcom/resilience/lua/circuit_breaker/common.lua
local now, was_open = clock(), number('open_until') > 0
redis.call('DEL', breaker)
redis.call('HSET', breaker, 'failures', 0)
redis.call('PEXPIRE', breaker, KEPT)
note('closed', now)
return was_open and 1 or 0
