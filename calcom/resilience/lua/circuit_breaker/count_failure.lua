-- Count a failure, unless the circuit is open: then the call was in flight when it opened.
-- KEYS as in common.lua
-- ARGV[1] successes of this process since its last report   ARGV[2] window, ms
-- ARGV[3] calls in the window and ARGV[4] percentage of failures from which on the share of failures is too high
-- Returns {failures in a row, 1 if the share is too high}
-- include calcom/resilience/lua/circuit_breaker/common.lua
local now = clock()
if number('open_until') > 0 then return {0, 0} end
if tonumber(ARGV[1]) > 0 then
  count('c', tonumber(ARGV[1]), now)
  redis.call('HDEL', breaker, 'failures')
end
count('c', 1, now)
count('f', 1, now)

local sums = {c = 0, f = 0}
local fields = redis.call('HGETALL', breaker)
for i = 1, #fields, 2 do
  local kind, bucket = string.match(fields[i], '^([cf])(%d+)$')
  if kind and tonumber(bucket) > math.floor((now - tonumber(ARGV[2])) / BUCKET) then
    sums[kind] = sums[kind] + tonumber(fields[i + 1])
  elseif kind then
    redis.call('HDEL', breaker, fields[i])
  end
end
local too_many = sums.c >= tonumber(ARGV[3]) and sums.f * 100 >= sums.c * tonumber(ARGV[4])
return {redis.call('HINCRBY', breaker, 'failures', 1), too_many and 1 or 0}
