-- Take a permit for one request, or return how long to wait for one.
-- KEYS as in common.lua
-- ARGV[1] priority   ARGV[2] tenant, or ''   ARGV[3] the permit   ARGV[4] ms that the call may last
-- ARGV[5] limit, unless Cal.com reported another   ARGV[6] calls that all processes together can have in flight
-- ARGV[7] ms of recovering, if the state was lost   ARGV[8] 1 if this process sent requests without Redis
-- ARGV[9] ms left of the pause that this process knows   ARGV[10] external requests a minute that it last read
-- ARGV[11] the account that polls, or ''   ARGV[12] 1 if ARGV[9] includes the pause in the database
-- Returns {1, taken at ms, level risen to, requests spent, external a minute, what writes may use beyond live reads}
--      or {0, ms to wait, level risen to, requests spent, external a minute, 'paused' | 'budget' | 'recovering'}
--      or {0, 0, 0, 0, 0, 'unchecked'}: run again with ARGV[12] = 1
-- include calcom/resilience/lua/limiter/common.lua
local RETRY = 50  -- ms to wait for the response to a call in flight
local SEEN, NOTED = 10 * WINDOW, WINDOW  -- ms for which a tenant counts, and after which its entry is renewed

-- Note [Reserve of polling]: one request a minute of each account that polls is always permitted, because a lost webhook is
-- found by polling only. All other requests stop one short of the margin for each account that polled recently, and its
-- poll may use the limit up to the margin.
local POLL_EVERY = 55000  -- ms: beat sends polls with some jitter

local priority, tenant, poller = ARGV[1], ARGV[2], ARGV[11]
local now = clock()
local state = current_state(now, tonumber(ARGV[5]), tonumber(ARGV[7]), ARGV[8] == '1')
local limit = state.limit
local urgent = priority == 'write' or priority == 'live'

local function paused_until()
  local known = tonumber(ARGV[9])
  if known > 0 and now + known > state.paused then
    state.paused = now + known
    redis.call('HSET', state_key, 'paused', state.paused)
  end
  return urgent and state.paused or math.max(state.paused, state.background_paused)
end

-- The external usage, restored from what this process last read if Redis lost it.
local function known_external_peak()
  local most, known = external_peak(now), tonumber(ARGV[10])
  if known <= most or now >= state.recovering then return most end
  record_external(now, known)
  return known
end

-- Note [Reserved quota]: half of the cap of live reads is divided among the tenants that sent requests recently.
-- Returns what the other tenants have not used of their quotas, and whether this tenant has not used its own.
local function reserved_quotas()
  local names = redis.call('ZRANGEBYSCORE', tenants, '(' .. now, '+inf')
  if #names < 2 then return 0, false end
  local quota = math.floor(priority_cap(limit, 'live') / 2 / #names)
  local used, reserved = {}, 0
  for _, permit in ipairs(redis.call('ZRANGEBYSCORE', permits, '(' .. now, '(' .. FOREVER)) do
    local owner = tenant_of(permit)
    used[owner] = (used[owner] or 0) + 1
  end
  for _, name in ipairs(names) do
    if name ~= tenant then reserved = reserved + math.max(0, quota - (used[name] or 0)) end
  end
  return reserved, tenant ~= '' and (used[tenant] or 0) < quota
end

local function poll_uses_reserve()
  return poller ~= '' and (tonumber(redis.call('ZSCORE', polls, poller)) or 0) <= now - POLL_EVERY
end

local function note_poll()
  redis.call('ZADD', polls, now, poller)
  redis.call('ZREMRANGEBYSCORE', polls, '-inf', now - SEEN)
  redis.call('PEXPIRE', polls, SEEN)
end

-- Requests in the window from which on this one has to wait. A tenant within its quota may use all that writes leave; one
-- beyond it leaves the quotas of the others.
local function usage_cap(used)
  local most, critical = priority_cap(limit, priority), at_most(limit, limit * CRITICAL / OF)
  if used < math.min(most, critical - priority_cap(limit, 'live') / 2) then return most end  -- enough for all tenants
  most = math.min(most, at_most(limit, limit) - redis.call('ZCOUNT', polls, now - SEEN, '+inf'))
  local reserved, below_quota = reserved_quotas()
  if below_quota and urgent then return math.max(most, critical) end
  return reserved > 0 and math.min(most, critical - reserved) or most
end

-- Store the level and return it if it rose. It falls with hysteresis, or each request at its border would raise it.
local function note_level(spent_now)
  local level = level_of(spent_now, limit)
  for passed = state.level + 1, level do redis.call('HINCRBY', state_key, passed == 1 and 'warnings' or 'criticals', 1) end
  if level > state.level then
    redis.call('HSET', state_key, 'level', level)
    return level
  end
  local left_to = level_of(spent_now + limit / 12, limit)
  if left_to < state.level then redis.call('HSET', state_key, 'level', left_to) end
  return 0
end

local function note_tenant()
  local known_until = tonumber(redis.call('ZSCORE', tenants, tenant) or 0)
  if known_until > now + SEEN - NOTED then return end
  redis.call('ZADD', tenants, now + SEEN, tenant)
  redis.call('ZREMRANGEBYSCORE', tenants, '-inf', now)
  redis.call('PEXPIRE', tenants, SEEN)
end

if state.checked == 0 then
  if ARGV[12] ~= '1' then return {0, 0, 0, 0, 0, 'unchecked'} end
  redis.call('HSET', state_key, 'checked', 1)
end

local pause = paused_until()
if now < pause then return {0, pause - now, 0, 0, 0, 'paused'} end

local ours, most = total(now), known_external_peak()
if now < state.recovering and now >= state.latest_end and in_flight(now) > 0 then
  return {0, RETRY, 0, 0, most, 'recovering'}
end

if tenant ~= '' then note_tenant() end
local used, seen, by_permits = spent(state, now, ours, expected_external(most), tonumber(ARGV[6]))
local polls_now = poll_uses_reserve()
local missing = used - (polls_now and at_most(limit, limit) or usage_cap(used)) + 1
if missing > 0 then
  local reason, wait = now < state.recovering and 'recovering' or 'budget', WINDOW
  if used > by_permits then
    wait = in_flight(now) > 0 and RETRY or state.latest_end - now
  else
    local last = redis.call('ZRANGEBYSCORE', permits, '(' .. now, '(' .. FOREVER, 'WITHSCORES', 'LIMIT', missing - 1, 1)
    if last[2] then wait = math.ceil(last[2] - now) end
  end
  return {0, wait, note_level(seen), seen, most, reason}
end

redis.call('ZADD', permits, now + tonumber(ARGV[4]) + WINDOW, ARGV[3])
if polls_now then note_poll() end
local beyond_live = priority_cap(limit, 'write') - math.max(used + 1, priority_cap(limit, 'live'))
return {1, now, note_level(seen + 1), seen + 1, most, math.max(0, beyond_live)}
