-- Let a permit count for one window from now, because its call was answered; learn from what the answer said.
-- KEYS as in common.lua
-- ARGV[1] permit   ARGV[2] when it was taken, ms
-- ARGV[3] limit, ARGV[4] remaining, ARGV[5] seconds to the window's end: as answered, or '' without such headers
-- ARGV[6] ms for which everybody must be silent, or 0   ARGV[7] 1 when background work pauses a window longer
-- ARGV[8] limit, unless Cal.com told another   ARGV[9] ms for which a memory with a gap is not trusted
-- Returns for how many ms nobody may send.
-- include calcom/resilience/lua/limiter/common.lua
local TELLING = 10000  -- ms of a window after which others' use can be projected

local now, taken = clock(), tonumber(ARGV[2])
local memory = recalled(now, tonumber(ARGV[8]), tonumber(ARGV[9]), false)
local before = {}
for name, value in pairs(memory) do before[name] = value end
local limit, remaining, reset = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local silence = tonumber(ARGV[6])

-- Seconds are rounded, and the answer was written between taking and now: the window's end lies between two moments.
-- Ends of two windows lie 60 s apart, so moments that overlap belong to one window. `Remaining` only falls within it.
local function learn_window(earliest, latest)
  if latest < memory.earliest_end then return false end
  if earliest > memory.latest_end then
    memory.remaining, memory.as_of, memory.external_now = remaining, taken, 0
    memory.earliest_end, memory.latest_end, memory.window = earliest, latest, now
  else
    memory.remaining, memory.as_of = math.min(memory.remaining, remaining), math.max(memory.as_of, taken)
    memory.earliest_end = math.max(memory.earliest_end, earliest)
    memory.latest_end = math.min(memory.latest_end, latest)
  end
  -- Own use ends at the margin: fewer are left only when others or requests unknown to us took them.
  if memory.remaining < MARGIN then memory.paused = math.max(memory.paused, memory.latest_end) end
  return true
end

-- Note [External usage]: every permit of ours that a window counted counts until the window has ended, so what Cal.com
-- counted beyond the permits that last until then was sent by others. That is a proof only while the window lasts:
-- later the log has dropped permits that it had counted. Answers may come out of order: of a window the most counts.
-- What is proven is projected to the whole window, or steady usage that is new to us would cost a second block.
local function learn_external()
  if now < memory.recovering or now >= memory.earliest_end then return end
  local ours = redis.call('ZCOUNT', log, memory.earliest_end, '(' .. FOREVER)
  local others = math.max(memory.external_now, limit - remaining - ours)
  if others <= 0 then return end
  local elapsed = math.max(TELLING, now - (memory.latest_end - WINDOW))
  memory.external_now = others
  note_theirs(memory.window, math.ceil(others * math.max(1, WINDOW / elapsed)))
end

local function keep_what_changed()
  local fields = {}
  for name, value in pairs(memory) do
    if value ~= before[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  if #fields > 0 then redis.call('HSET', known, unpack(fields)) end
end

redis.call('ZREMRANGEBYSCORE', log, '-inf', now)
redis.call('ZADD', log, now + WINDOW, ARGV[1])
if limit and silence == 0 then
  local earliest, latest = taken + (reset - 1) * 1000, now + (reset + 1) * 1000
  memory.limit, memory.reported_at = limit, now
  if learn_window(earliest, latest) then learn_external() end
end
if silence > 0 then
  memory.paused = math.max(memory.paused, now + silence)
  if ARGV[7] == '1' then memory.background_paused = math.max(memory.background_paused, memory.paused + WINDOW) end
end
keep_what_changed()
redis.call('PEXPIRE', log, KEPT)
redis.call('PEXPIRE', known, KEPT)
return math.max(0, memory.paused - now)
