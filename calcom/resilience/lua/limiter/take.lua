-- Take a permit for one request, or say how long to wait for one.
-- KEYS as in common.lua
-- ARGV[1] priority   ARGV[2] tenant, or ''   ARGV[3] the permit, if it is granted   ARGV[4] ms that the call may last
-- ARGV[5] limit, unless Cal.com told another   ARGV[6] calls that all processes together can have in flight
-- ARGV[7] ms for which a memory with a gap is not trusted   ARGV[8] 1 when this process left a gap
-- ARGV[9] ms for which this process knows of a pause   ARGV[10] others' requests a minute that it last heard of
-- ARGV[11] the account that polls, or '' for any other request
-- ARGV[12] 1 when the pause of ARGV[9] includes what the database says
-- Returns {1, taken at ms, level risen to, requests spent, others' a minute, what writes may send beyond live reads}
--      or {0, ms to wait, level risen to, requests spent, others' a minute, 'paused' | 'budget' | 'recovering'}
--      or {0, 0, 0, 0, 0, 'unchecked'}: ask again, with ARGV[12] = 1
-- include calcom/resilience/lua/limiter/common.lua
local ANSWER = 50  -- ms: when only a call in flight can tell more
local SEEN, NOTED = 10 * WINDOW, WINDOW  -- ms for which a tenant counts, and after which that is written anew

-- Note [Polling's reserve]: one request a minute of each account that polls always passes, whatever callers and bookings
-- ask for, since a webhook that was lost is found by polling only. So all others stop one request short of the margin
-- for each account that polled of late, and its poll may go up to the margin.
local POLL_EVERY = 55000  -- ms: beat does not send polls to the second

local priority, tenant, poller = ARGV[1], ARGV[2], ARGV[11]
local now = clock()
local memory = recalled(now, tonumber(ARGV[5]), tonumber(ARGV[7]), ARGV[8] == '1')
local limit = memory.limit
local urgent = priority == 'write' or priority == 'live'

local function paused_until()
  local told = tonumber(ARGV[9])
  if told > 0 and now + told > memory.paused then
    memory.paused = now + told
    redis.call('HSET', known, 'paused', memory.paused)
  end
  return urgent and memory.paused or math.max(memory.paused, memory.background_paused)
end

-- What others use is lost with the memory, but not to the processes that had heard of it.
local function heard_of_theirs()
  local most, told = most_of_theirs(now), tonumber(ARGV[10])
  if told <= most or now >= memory.recovering then return most end
  note_theirs(now, told)
  return told
end

-- Half of what live reads may use is divided among the tenants seen of late.
-- Returns what the others have not yet used of their parts, and whether the tenant is below his own.
local function floors()
  local names = redis.call('ZRANGEBYSCORE', tenants, '(' .. now, '+inf')
  if #names < 2 then return 0, false end
  local floor = math.floor(priority_cap(limit, 'live') / 2 / #names)
  local used, kept = {}, 0
  for _, permit in ipairs(redis.call('ZRANGEBYSCORE', log, '(' .. now, '(' .. FOREVER)) do
    local owner = tenant_of(permit)
    used[owner] = (used[owner] or 0) + 1
  end
  for _, name in ipairs(names) do
    if name ~= tenant then kept = kept + math.max(0, floor - (used[name] or 0)) end
  end
  return kept, tenant ~= '' and (used[tenant] or 0) < floor
end

local function poll_is_due()
  return poller ~= '' and (tonumber(redis.call('ZSCORE', polls, poller)) or 0) <= now - POLL_EVERY
end

local function note_poll()
  redis.call('ZADD', polls, now, poller)
  redis.call('ZREMRANGEBYSCORE', polls, '-inf', now - SEEN)
  redis.call('PEXPIRE', polls, SEEN)
end

-- Requests from which on this one has to wait. A tenant below his floor may go as far as anybody but writes; whoever is
-- not leaves the others theirs.
local function top(used)
  local most, critical = priority_cap(limit, priority), at_most(limit, limit * CRITICAL / OF)
  if used < math.min(most, critical - priority_cap(limit, 'live') / 2) then return most end  -- there is enough for everybody
  most = math.min(most, at_most(limit, limit) - redis.call('ZCOUNT', polls, now - SEEN, '+inf'))
  local kept, below = floors()
  if below and urgent then return math.max(most, critical) end
  return kept > 0 and math.min(most, critical - kept) or most
end

-- Note the level and return it when it rose. It is left only well below: at its border each request would rise to it.
local function risen_to(spent_now)
  local level = level_of(spent_now, limit)
  for passed = memory.level + 1, level do redis.call('HINCRBY', known, passed == 1 and 'warnings' or 'criticals', 1) end
  if level > memory.level then
    redis.call('HSET', known, 'level', level)
    return level
  end
  local left_to = level_of(spent_now + limit / 12, limit)
  if left_to < memory.level then redis.call('HSET', known, 'level', left_to) end
  return 0
end

local function note_tenant()
  local known_until = tonumber(redis.call('ZSCORE', tenants, tenant) or 0)
  if known_until > now + SEEN - NOTED then return end
  redis.call('ZADD', tenants, now + SEEN, tenant)
  redis.call('ZREMRANGEBYSCORE', tenants, '-inf', now)
  redis.call('PEXPIRE', tenants, SEEN)
end

if memory.checked == 0 then
  if ARGV[12] ~= '1' then return {0, 0, 0, 0, 0, 'unchecked'} end
  redis.call('HSET', known, 'checked', 1)
end

local pause = paused_until()
if now < pause then return {0, pause - now, 0, 0, 0, 'paused'} end

local ours, most = total(now), heard_of_theirs()
if now < memory.recovering and now >= memory.latest_end and in_flight(now) > 0 then
  return {0, ANSWER, 0, 0, most, 'recovering'}
end

if tenant ~= '' then note_tenant() end
local used, seen, by_log = spent(memory, now, ours, expected(most), tonumber(ARGV[6]))
local polls_now = poll_is_due()
local missing = used - (polls_now and at_most(limit, limit) or top(used)) + 1
if missing > 0 then
  local reason, wait = now < memory.recovering and 'recovering' or 'budget', WINDOW
  if used > by_log then
    wait = in_flight(now) > 0 and ANSWER or memory.latest_end - now
  else
    local last = redis.call('ZRANGEBYSCORE', log, '(' .. now, '(' .. FOREVER, 'WITHSCORES', 'LIMIT', missing - 1, 1)
    if last[2] then wait = math.ceil(last[2] - now) end
  end
  return {0, wait, risen_to(seen), seen, most, reason}
end

redis.call('ZADD', log, now + tonumber(ARGV[4]) + WINDOW, ARGV[3])
if polls_now then note_poll() end
local beyond_live = priority_cap(limit, 'write') - math.max(used + 1, priority_cap(limit, 'live'))
return {1, now, risen_to(seen + 1), seen + 1, most, math.max(0, beyond_live)}
