-- Say where the budget stands; change nothing that counts.
-- KEYS as in common.lua
-- ARGV[1] limit, unless Cal.com told another   ARGV[2] calls that all processes together can have in flight
-- Returns {now, limit, spent, in flight, expected of others, {permits by priority}, {caps by priority}, remaining,
--          window's end, told at, paused until, background held back until, memory recovering until, level,
--          how often it rose to a warning, and to critical}; 0 where unknown
-- include calcom/resilience/lua/limiter/common.lua
local PRIORITIES = {'write', 'live', 'refresh', 'background'}

local now = clock()
local memory = remembered(tonumber(ARGV[1]))
local ours, others = total(now), expected(most_of_theirs(now))
local counts, caps = {w = 0, l = 0, r = 0, b = 0}, {}
for _, permit in ipairs(redis.call('ZRANGEBYSCORE', log, '(' .. now, '(' .. FOREVER)) do
  local letter = letter_of(permit)
  counts[letter] = counts[letter] + 1
end
for i, priority in ipairs(PRIORITIES) do
  counts[i], caps[i] = counts[letter_of(priority)], priority_cap(memory.limit, priority)
end
local warnings, criticals = unpack(redis.call('HMGET', known, 'warnings', 'criticals'))
local used, seen = spent(memory, now, ours, others, tonumber(ARGV[2]))
return {now, memory.limit, used, in_flight(now), others, counts, caps, memory.remaining,
        memory.latest_end, memory.reported_at, memory.paused, memory.background_paused, memory.recovering,
        level_of(seen, memory.limit), tonumber(warnings) or 0, tonumber(criticals) or 0}
