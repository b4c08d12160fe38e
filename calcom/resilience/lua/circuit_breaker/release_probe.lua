-- Release the lease of a probe without a result: the next call may probe.
-- KEYS as in common.lua
-- ARGV[1] lease
-- include calcom/resilience/lua/circuit_breaker/common.lua
if number('leased_until') == tonumber(ARGV[1]) then redis.call('HDEL', breaker, 'leased_until') end
