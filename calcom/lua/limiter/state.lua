-- Say where the budget stands; change nothing that counts.
-- KEYS as in common.lua
-- ARGV[1] limit, unless Cal.com told another   ARGV[2] calls that all processes together can have in flight
-- Returns {now, limit, spent, in flight, expected of others, {permits by priority}, {ceilings by priority}, remaining,
--          window's end, told at, paused until, background held back until, memory distrusted until, level,
--          how often it rose to a warning, and to critical}; 0 where unknown
local PRIORITIES = {'write', 'live', 'refresh', 'background'}

local now = clock()
local memory = remembered(tonumber(ARGV[1]))
local ours, others = total(now), expected(most_of_theirs(now))
local counts, ceilings = {write = 0, live = 0, refresh = 0, background = 0}, {}
for _, permit in ipairs(redis.call('ZRANGEBYSCORE', log, '-inf', '(' .. FOREVER)) do
  local priority = string.match(permit, '^%a+')
  counts[priority] = counts[priority] + 1
end
for i, priority in ipairs(PRIORITIES) do
  counts[i], ceilings[i] = counts[priority], ceiling(memory.limit, priority)
end
local used, seen = spent(memory, now, ours, others, tonumber(ARGV[2]))
return {now, memory.limit, used, in_flight(now), others, counts, ceilings, memory.remaining,
        memory.latest_end, memory.told_at, memory.paused, memory.held_back, memory.distrusted,
        level_of(seen, memory.limit), memory.warnings, memory.criticals}
