-- Return the state and its history.
-- KEYS as in common.lua
-- Returns {failures in a row, times opened, ms until a probe, or -1 when closed, 1 if one is in flight, {history}}
-- include calcom/resilience/lua/circuit_breaker/common.lua
local now = clock()
local open_until = number('open_until')
local wait = open_until > 0 and math.max(0, open_until - now) or -1
return {number('failures'), number('opened'), wait, number('leased_until') > now and 1 or 0,
        redis.call('LRANGE', history, 0, -1)}
