-- Make the next call the probe.
-- KEYS as in common.lua
-- Returns 1 if the breaker was open.
-- include calcom/resilience/lua/circuit_breaker/common.lua
if number('open_until') == 0 then return 0 end
redis.call('HSET', breaker, 'open_until', clock())
return 1
