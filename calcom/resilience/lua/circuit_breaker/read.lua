-- Count successes and return the state.
-- KEYS as in common.lua
-- ARGV[1] successes of this process since its last report   ARGV[2] 1 if they end a row of failures
-- Returns {'closed' | 'open' | 'unknown' (nothing is stored), failures in a row, ms until a probe is due}
-- include calcom/resilience/lua/circuit_breaker/common.lua
local now = clock()
local successes = tonumber(ARGV[1])
if successes > 0 then count('c', successes, now) end
if ARGV[2] == '1' then redis.call('HDEL', breaker, 'failures') end
if redis.call('EXISTS', breaker) == 0 then return {'unknown', 0, 0} end
local open_until = number('open_until')
return {open_until > 0 and 'open' or 'closed', number('failures'), math.max(0, open_until - now)}
