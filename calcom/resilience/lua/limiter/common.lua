-- Keys, constants and functions that the scripts of the limiter share. All times are ms of Redis's clock.
-- KEYS[1] permits   zset: permit -> ms until which it counts; and the marker of the generation. A permit is the first
--                   letter of its priority, 12 characters of a nonce, and the tenant
-- KEYS[2] state     hash: FIELDS, as responses reported them, and how often the level rose (warnings, criticals)
-- KEYS[3] external  zset: start of a window -> requests that other users of the key send in it
-- KEYS[4] tenants   zset: tenant -> ms until which it counts as a user of the key
-- KEYS[5] polls     zset: account -> ms of its last poll from the reserve of polling      (same {hash tag}: one node)
-- include cachectl/infra/clock.lua
local permits, state_key, external, tenants, polls = unpack(KEYS, 1, 5)

local WINDOW = 60100         -- Cal.com's 60 s, and 100 ms for rounding and for clocks of different speed
local KEPT = 86400000        -- expiry of keys that are not used
local FOREVER = 8e15         -- score of the marker: above all times
local MARGIN = 2             -- requests that are never used
local SHARES = {write = 1, live = 0.85, refresh = 0.6, background = 0.4}
local FIELDS = {'generation', 'limit', 'remaining', 'as_of', 'earliest_end', 'latest_end', 'window',
                'external_now', 'reported_at', 'paused', 'background_paused', 'recovering', 'level', 'checked'}
-- Levels at a limit of 120: above WARNING a warning, above CRITICAL only writes are permitted.
local WARNING, CRITICAL, OF = 100, 115, 120

local function at_most(limit, requests)
  return math.max(1, math.min(math.floor(requests), limit - MARGIN))
end

-- Requests in a window, external ones included, from which on `priority` has to wait.
local function priority_cap(limit, priority)
  return at_most(limit, limit * SHARES[priority])
end

-- 0 ok, 1 warning, 2 critical
local function level_of(spent, limit)
  return spent * OF > limit * CRITICAL and 2 or spent * OF > limit * WARNING and 1 or 0
end

-- Permits whose request has no response yet: they count for longer than a window.
local function in_flight(now)
  return redis.call('ZCOUNT', permits, '(' .. now + WINDOW, '(' .. FOREVER)
end

-- Permits that count now. Those that no longer count are removed by ended.lua.
local function total(now)
  return redis.call('ZCOUNT', permits, '(' .. now, '(' .. FOREVER)
end

-- The most external requests in one of the last ten windows.
local function external_peak(now)
  local most, windows = 0, redis.call('ZRANGE', external, 0, -1, 'WITHSCORES')
  for i = 1, #windows, 2 do
    if tonumber(windows[i]) > now - 10 * WINDOW then most = math.max(most, tonumber(windows[i + 1])) end
  end
  return most
end

-- External requests expected in a window: a little more, because a response shows only what came before it.
local function expected_external(most)
  return most > 0 and most + 2 + math.ceil(most / 10) or 0
end

local function record_external(window, requests)
  redis.call('ZADD', external, requests, window)
  redis.call('ZREMRANGEBYRANK', external, 0, -21)
  redis.call('PEXPIRE', external, 10 * WINDOW)
end

local function letter_of(permit) return string.sub(permit, 1, 1) end
local function tenant_of(permit) return string.sub(permit, 14) end

local function load_state(limit)
  local state = {}
  for i, value in ipairs(redis.call('HMGET', state_key, unpack(FIELDS))) do state[FIELDS[i]] = tonumber(value) or 0 end
  if state.limit == 0 then state.limit = limit end
  return state
end

-- Note [Recovering]: the generation is stored in the state and, as a marker, among the permits. If they differ, keys were
-- lost (a flush, a fail-over, an eviction). A process that sent without Redis leaves a gap as well. In both cases only
-- what Cal.com reports as remaining counts until all earlier requests have left any window.
-- Note [Unchecked state]: a pause (after a 429) may be among what was lost, and the processes that know it may have ended.
-- The database has it, too: no permit is given until a process has reported what is stored there (`checked`).
local function current_state(now, limit, recovery, gap)
  local state = load_state(limit)
  local whole = state.generation > 0 and redis.call('ZSCORE', permits, 'generation:' .. state.generation)
  if whole and not gap then return state end
  redis.call('ZREMRANGEBYSCORE', permits, FOREVER, FOREVER)
  redis.call('ZADD', permits, FOREVER, 'generation:' .. now)
  state.generation, state.recovering, state.earliest_end, state.latest_end = now, now + recovery, 0, 0
  state.checked = 0
  redis.call('HSET', state_key, 'generation', now, 'recovering', state.recovering, 'earliest_end', 0, 'latest_end', 0,
             'checked', 0)
  redis.call('PEXPIRE', permits, KEPT)
  redis.call('PEXPIRE', state_key, KEPT)
  return state
end

-- Requests that must be assumed used in this window: by our permits or by Cal.com's count, whichever is more.
-- Cal.com's count is used if the permits cannot be complete: while recovering, and while there is external usage. It does
-- not include permits that ended after the request that reported it was sent (less that request itself).
-- Returns them with expected external requests and calls in flight; without these; and by our permits alone.
local function spent(state, now, ours, others, fleet)
  local by_permits = ours + others
  local recovering = now < state.recovering
  if now >= state.latest_end or not (recovering or others > 0) then return by_permits, by_permits, by_permits end
  local unseen = math.max(0, redis.call('ZCOUNT', permits, state.as_of + WINDOW, '(' .. FOREVER) - 1)
  local counted = state.limit - state.remaining + unseen
  local coming = math.max(0, others - state.external_now) + (recovering and fleet or 0)
  return math.max(by_permits, counted + coming), math.max(by_permits, counted), by_permits
end
