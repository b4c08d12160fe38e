-- How long an address waits until another key from there is looked up.
-- KEYS[1] until when its guesses are used up, ms   KEYS[2] mark of a key that was good from there
-- ARGV[1] guesses at once   ARGV[2] ms after which one more is allowed
-- Returns ms; 0 for now, and for a key that was good.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local used_up = tonumber(redis.call('GET', KEYS[1]) or now)
return math.max(0, math.ceil(used_up - now - (ARGV[1] - 1) * ARGV[2]))
