-- Notice an empty Redis.
-- KEYS[1] epoch   ARGV[1] its lifetime, ms
-- Returns the epoch in ms.
-- include cachectl/infra/clock.lua
redis.call('SET', KEYS[1], clock(), 'NX', 'PX', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
