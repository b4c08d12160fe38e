-- Pause refresh and background work.
-- KEYS as in common.lua
-- ARGV[1] ms, 0 to end the pause
-- include calcom/resilience/lua/limiter/common.lua
redis.call('HSET', state_key, 'background_paused', clock() + tonumber(ARGV[1]))
redis.call('PEXPIRE', state_key, KEPT)
