-- Return the state of the limiter; changes nothing.
-- KEYS as in common.lua
-- ARGV[1] limit, unless Cal.com reported another   ARGV[2] calls that all processes together can have in flight
-- Returns {now, limit, spent, in flight, expected external, {permits by priority}, {caps by priority}, remaining,
--          window's end, reported at, paused until, background paused until, recovering until, level,
--          how often it rose to a warning, and to critical}; 0 if unknown
-- include calcom/resilience/lua/limiter/common.lua
local PRIORITIES = {'write', 'live', 'refresh', 'background'}

local now = clock()
local state = load_state(tonumber(ARGV[1]))
local ours, others = total(now), expected_external(external_peak(now))
local counts, caps = {w = 0, l = 0, r = 0, b = 0}, {}
for _, permit in ipairs(redis.call('ZRANGEBYSCORE', permits, '(' .. now, '(' .. FOREVER)) do
  local letter = letter_of(permit)
  counts[letter] = counts[letter] + 1
end
for i, priority in ipairs(PRIORITIES) do
  counts[i], caps[i] = counts[letter_of(priority)], priority_cap(state.limit, priority)
end
local warnings, criticals = unpack(redis.call('HMGET', state_key, 'warnings', 'criticals'))
local used, seen = spent(state, now, ours, others, tonumber(ARGV[2]))
return {now, state.limit, used, in_flight(now), others, counts, caps, state.remaining,
        state.latest_end, state.reported_at, state.paused, state.background_paused, state.recovering,
        level_of(seen, state.limit), tonumber(warnings) or 0, tonumber(criticals) or 0}
