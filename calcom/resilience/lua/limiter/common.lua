-- What all verbs of the limiter agree on.
-- KEYS[1] log      zset: permit -> ms until which it counts; and the epoch's marker. A permit is the first letter of
--                  its priority, twelve of its nonce, and the tenant: cutting is ten times faster than matching
-- KEYS[2] known    hash: what answers told us (all times in ms of Redis's clock)
-- KEYS[3] external  zset: ms at which a window was first heard of -> requests that others send in it with the same key
-- KEYS[4] tenants  zset: tenant -> ms until which it counts as a user of the key
-- KEYS[5] polls    zset: account -> ms at which it last polled from polling's reserve    (same {hash tag}: one node)
-- include cachectl/infra/clock.lua
local log, known, external, tenants, polls = unpack(KEYS, 1, 5)

local WINDOW = 60100         -- Cal.com's 60 s, and 100 ms for rounding and for clocks that run at unlike speeds
local KEPT = 86400000        -- what nobody touched for a day is forgotten
local FOREVER = 8e15         -- score of the marker: above every time
local MARGIN = 2             -- requests that are never spent
local SHARES = {write = 1, live = 0.85, refresh = 0.6, background = 0.4}
local FIELDS = {'epoch', 'limit', 'remaining', 'as_of', 'earliest_end', 'latest_end', 'window',
                'external_now', 'reported_at', 'paused', 'background_paused', 'recovering', 'level', 'checked'}
-- The reports' levels at 120 a minute: above the first a warning, above the second only writes go.
local WARNING, CRITICAL, OF = 100, 115, 120

local function at_most(limit, requests)
  return math.max(1, math.min(math.floor(requests), limit - MARGIN))
end

-- Requests that may count at once before `priority` has to wait, others' included.
local function priority_cap(limit, priority)
  return at_most(limit, limit * SHARES[priority])
end

-- 0 ok, 1 warning, 2 critical
local function level_of(spent, limit)
  return spent * OF > limit * CRITICAL and 2 or spent * OF > limit * WARNING and 1 or 0
end

-- Permits whose call has not ended: they count for longer than a window.
local function in_flight(now)
  return redis.call('ZCOUNT', log, '(' .. now + WINDOW, '(' .. FOREVER)
end

-- Permits that count now. Those that no longer do are thrown away when a call ends.
local function total(now)
  return redis.call('ZCOUNT', log, '(' .. now, '(' .. FOREVER)
end

-- The most that others sent in one of the last ten windows.
local function most_of_theirs(now)
  local most, windows = 0, redis.call('ZRANGE', external, 0, -1, 'WITHSCORES')
  for i = 1, #windows, 2 do
    if tonumber(windows[i]) > now - 10 * WINDOW then most = math.max(most, tonumber(windows[i + 1])) end
  end
  return most
end

-- What they are expected to send in a window: a little more, because an answer shows only what came before it.
local function expected(most)
  return most > 0 and most + 2 + math.ceil(most / 10) or 0
end

local function note_theirs(window, requests)
  redis.call('ZADD', external, requests, window)
  redis.call('ZREMRANGEBYRANK', external, 0, -21)
  redis.call('PEXPIRE', external, 10 * WINDOW)
end

local function letter_of(permit) return string.sub(permit, 1, 1) end
local function tenant_of(permit) return string.sub(permit, 14) end

local function remembered(limit)
  local memory = {}
  for i, value in ipairs(redis.call('HMGET', known, unpack(FIELDS))) do memory[FIELDS[i]] = tonumber(value) or 0 end
  if memory.limit == 0 then memory.limit = limit end
  return memory
end

-- Note [Memory with a gap]: the epoch stands in `known` and, as a marker, in the log. Where they differ, something
-- was lost (a flush, a fail-over, an eviction); and a process that sent without Redis left a gap, too. Then, until
-- every request of before has left any window, only what Cal.com itself reports as remaining is believed.
-- Note [Unchecked memory]: a pause (after a 429) may be among what was lost, and the processes that heard of it may be
-- gone. The database has it, too. So until a process has said what stands there (`checked`), no permit is given.
local function recalled(now, limit, distrust, gap)
  local memory = remembered(limit)
  local whole = memory.epoch > 0 and redis.call('ZSCORE', log, 'epoch:' .. memory.epoch)
  if whole and not gap then return memory end
  redis.call('ZREMRANGEBYSCORE', log, FOREVER, FOREVER)
  redis.call('ZADD', log, FOREVER, 'epoch:' .. now)
  memory.epoch, memory.recovering, memory.earliest_end, memory.latest_end = now, now + distrust, 0, 0
  memory.checked = 0
  redis.call('HSET', known, 'epoch', now, 'recovering', memory.recovering, 'earliest_end', 0, 'latest_end', 0,
             'checked', 0)
  redis.call('PEXPIRE', log, KEPT)
  redis.call('PEXPIRE', known, KEPT)
  return memory
end

-- Requests that must be taken for spent, by our log or by Cal.com's own count, whichever is more.
-- Cal.com's is asked where the log cannot know all: after a loss, and while others use the key. It does not know yet
-- the permits that ended after the request that brought it was sent (less that request itself).
-- Returns them with what may come unseen; without that; and by our log alone.
local function spent(memory, now, ours, others, fleet)
  local by_log = ours + others
  local recovering = now < memory.recovering
  if now >= memory.latest_end or not (recovering or others > 0) then return by_log, by_log, by_log end
  local unseen = math.max(0, redis.call('ZCOUNT', log, memory.as_of + WINDOW, '(' .. FOREVER) - 1)
  local counted = memory.limit - memory.remaining + unseen
  local coming = math.max(0, others - memory.external_now) + (recovering and fleet or 0)
  return math.max(by_log, counted + coming), math.max(by_log, counted), by_log
end
