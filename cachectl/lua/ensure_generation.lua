-- Record the moment at which this Redis was first seen empty.
-- KEYS[1] generation   ARGV[1] its lifetime, ms
-- Returns the generation in ms.
-- include cachectl/infra/clock.lua
redis.call('SET', KEYS[1], clock(), 'NX', 'PX', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
