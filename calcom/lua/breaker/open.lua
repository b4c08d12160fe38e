-- Open, longer each time; calls that were under way when it opened change nothing any more.
-- KEYS as in common.lua
-- Returns 1 if this call opened it.
-- include calcom/lua/breaker/common.lua
local now = clock()
if number('open_until') > now then return 0 end
local opened = number('opened') + 1
redis.call('DEL', breaker)
redis.call('HSET', breaker, 'opened', opened, 'open_until', now + OPEN[math.min(opened, #OPEN)])
redis.call('PEXPIRE', breaker, KEPT)
note('open', now)
return 1
