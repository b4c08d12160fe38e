-- Take a permit for one request, or say how long to wait for one.
-- KEYS as in common.lua
-- ARGV[1] priority   ARGV[2] tenant, or ''   ARGV[3] nonce   ARGV[4] ms that the call may last
-- ARGV[5] limit, unless Cal.com told another   ARGV[6] calls that all processes together can have in flight
-- ARGV[7] ms for which a memory with a gap is not trusted   ARGV[8] 1 when this process left a gap
-- ARGV[9] ms for which this process knows of a pause
-- Returns {1, taken at ms, requests that writes may still send, beyond what live reads may use}
--      or {0, ms to wait, 'paused' | 'budget' | 'distrusted'}
local ANSWER = 50  -- ms: when only a call in flight can tell more

local priority, tenant = ARGV[1], ARGV[2]
local now = clock()
local memory = recalled(now, tonumber(ARGV[5]), tonumber(ARGV[7]), ARGV[8] == '1')
local urgent = priority == 'write' or priority == 'live'

local function paused_until()
  local told = tonumber(ARGV[9])
  if told > 0 and now + told > memory.paused then
    memory.paused = now + told
    redis.call('HSET', known, 'paused', memory.paused)
  end
  return urgent and memory.paused or math.max(memory.paused, memory.held_back)
end

-- Half of what live reads may use is divided among the tenants seen within a day: whoever is above his part leaves
-- the others theirs; whoever is below it may go where only writes go.
local function kept_for_others()
  redis.call('ZREMRANGEBYSCORE', tenants, '-inf', now)
  if tenant ~= '' then redis.call('ZADD', tenants, now + KEPT, tenant) end
  local names = redis.call('ZRANGE', tenants, 0, -1)
  if #names < 2 then return 0, false end
  local floor = math.floor(ceiling(memory.limit, 'live') / 2 / #names)
  local used, kept = {}, 0
  for _, permit in ipairs(redis.call('ZRANGE', log, 0, -1)) do
    local owner = string.match(permit, '^%a+:%d+:%w+:(.*)$')
    if owner then used[owner] = (used[owner] or 0) + 1 end
  end
  for _, name in ipairs(names) do
    if name ~= tenant then kept = kept + math.max(0, floor - (used[name] or 0)) end
  end
  return kept, tenant ~= '' and urgent and (used[tenant] or 0) < floor
end

local pause = paused_until()
if now < pause then return {0, pause - now, 'paused'} end

local ours, others, flying = total(now), theirs(now), in_flight(now)
if now < memory.distrusted and now >= memory.latest_end and flying > 0 then return {0, ANSWER, 'distrusted'} end

local limit = memory.limit
local top, kept, below_floor = ceiling(limit, priority), kept_for_others()
if below_floor then top, kept = math.max(top, math.min(math.floor(limit * 115 / 120), limit - MARGIN)), 0 end

local used, by_log = spent(memory, now, ours, others, tonumber(ARGV[6]))
local missing = used + kept - top + 1
if missing > 0 then
  local reason = now < memory.distrusted and 'distrusted' or 'budget'
  if used > by_log then return {0, flying > 0 and ANSWER or memory.latest_end - now, reason} end
  local last = redis.call('ZRANGEBYSCORE', log, '-inf', '(' .. FOREVER, 'WITHSCORES', 'LIMIT', missing - 1, 1)
  return {0, last[2] and math.ceil(last[2] - now) or WINDOW, reason}
end

redis.call('ZADD', log, now + tonumber(ARGV[4]) + WINDOW, priority .. ':' .. now .. ':' .. ARGV[3] .. ':' .. tenant)
redis.call('PEXPIRE', log, KEPT)
redis.call('PEXPIRE', known, KEPT)
redis.call('PEXPIRE', tenants, KEPT)
local writes = ceiling(limit, 'write')
return {1, now, math.max(0, writes - math.max(used + 1, ceiling(limit, 'live')))}
