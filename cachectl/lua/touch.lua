-- Notice an empty Redis.
-- KEYS[1] epoch   ARGV[1] its lifetime, ms
-- Returns the epoch in ms.
local time = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%d%03d', time[1], time[2] / 1000), 'NX', 'PX', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
