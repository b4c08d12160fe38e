-- Stop background work for a while, or let it go on.
-- KEYS as in common.lua
-- ARGV[1] ms, 0 to let it go on
-- include calcom/resilience/lua/limiter/common.lua
redis.call('HSET', known, 'background_paused', clock() + tonumber(ARGV[1]))
redis.call('PEXPIRE', known, KEPT)
