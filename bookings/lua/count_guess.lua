-- Count a key that nobody knows; if it was good once, that is over.
-- KEYS[1] until when the guesses of its address are used up, ms   KEYS[2] mark of a key that was good from there
-- ARGV[1] ms after which one more is allowed
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local used_up = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now)) + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.0f', used_up), 'PX', string.format('%.0f', math.ceil(used_up - now)))
redis.call('DEL', KEYS[2])
