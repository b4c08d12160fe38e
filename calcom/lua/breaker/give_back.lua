-- Give a lease back whose probe told nothing: the next call may try.
-- KEYS as in common.lua
-- ARGV[1] lease
-- include calcom/lua/breaker/common.lua
if number('leased_until') == tonumber(ARGV[1]) then redis.call('HDEL', breaker, 'leased_until') end
