-- Record the response to a request: its permit counts for one window from now, and the state follows the headers.
-- KEYS as in common.lua
-- ARGV[1] permit   ARGV[2] when it was taken, ms
-- ARGV[3] limit, ARGV[4] remaining, ARGV[5] seconds to the window's end, or '' without such headers
-- ARGV[6] ms of a pause for all priorities, or 0   ARGV[7] 1 if background work pauses one window longer
-- ARGV[8] limit, unless Cal.com reported another   ARGV[9] ms of recovering, if the state was lost
-- Returns the ms of the pause that is in force, or 0.
-- include calcom/resilience/lua/limiter/common.lua
local SHORTEST_SAMPLE = 10000  -- ms of a window from which on external usage is projected to all of it

local now, taken = clock(), tonumber(ARGV[2])
local state = current_state(now, tonumber(ARGV[8]), tonumber(ARGV[9]), false)
local before = {}
for name, value in pairs(state) do before[name] = value end
local limit, remaining, reset = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local pause = tonumber(ARGV[6])

-- Seconds are rounded, and the response was written between taking and now, so the window ends between two moments.
-- Ends of windows are 60 s apart: intervals that overlap are of one window. Within a window `remaining` only falls.
local function update_window(earliest, latest)
  if latest < state.earliest_end then return false end
  if earliest > state.latest_end then
    state.remaining, state.as_of, state.external_now = remaining, taken, 0
    state.earliest_end, state.latest_end, state.window = earliest, latest, now
  else
    state.remaining, state.as_of = math.min(state.remaining, remaining), math.max(state.as_of, taken)
    state.earliest_end = math.max(state.earliest_end, earliest)
    state.latest_end = math.min(state.latest_end, latest)
  end
  -- Our own requests stop at the margin: fewer remain only if external or unrecorded requests used them.
  if state.remaining < MARGIN then state.paused = math.max(state.paused, state.latest_end) end
  return true
end

-- Note [External usage]: a permit counts until the window that counted it has ended, so what Cal.com counted beyond the
-- permits that last until then is external. This holds only during the window: later its permits have been removed.
-- Responses may arrive out of order: the most of a window counts. It is projected to the whole window, because steady
-- external usage would otherwise cost a second block when it begins.
local function update_external()
  if now < state.recovering or now >= state.earliest_end then return end
  local ours = redis.call('ZCOUNT', permits, state.earliest_end, '(' .. FOREVER)
  local others = math.max(state.external_now, limit - remaining - ours)
  if others <= 0 then return end
  local elapsed = math.max(SHORTEST_SAMPLE, now - (state.latest_end - WINDOW))
  state.external_now = others
  record_external(state.window, math.ceil(others * math.max(1, WINDOW / elapsed)))
end

local function save_changes()
  local fields = {}
  for name, value in pairs(state) do
    if value ~= before[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  if #fields > 0 then redis.call('HSET', state_key, unpack(fields)) end
end

redis.call('ZREMRANGEBYSCORE', permits, '-inf', now)
redis.call('ZADD', permits, now + WINDOW, ARGV[1])
if limit and pause == 0 then
  local earliest, latest = taken + (reset - 1) * 1000, now + (reset + 1) * 1000
  state.limit, state.reported_at = limit, now
  if update_window(earliest, latest) then update_external() end
end
if pause > 0 then
  state.paused = math.max(state.paused, now + pause)
  if ARGV[7] == '1' then state.background_paused = math.max(state.background_paused, state.paused + WINDOW) end
end
save_changes()
redis.call('PEXPIRE', permits, KEPT)
redis.call('PEXPIRE', state_key, KEPT)
return math.max(0, state.paused - now)
