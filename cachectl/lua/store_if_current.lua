-- Store a load day by day, except where a newer one is stored already. Reads decide whether it counts.
-- KEYS[1] generation   KEYS[1+i] entry of day i, KEYS[1+n+i] its last changes    (same {hash tag}: all on one node)
-- ARGV[1] when the load began, ms   ARGV[2] consistency lag, ms   ARGV[3] lifetime of entries, ms
-- ARGV[4] lifetime of changes and generation, ms   ARGV[4+i] slot starts of day i, a JSON array of epoch minutes
-- Returns the number of days that were stored and count.
-- include cachectl/infra/clock.lua
local now = clock()
local began, lag = tonumber(ARGV[1]), tonumber(ARGV[2])

redis.call('SET', KEYS[1], now, 'NX', 'PX', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local generation = tonumber(redis.call('GET', KEYS[1]))

-- A day that was full of slots and comes back empty, without an appointment of ours to explain it, is suspect once:
-- an unreachable calendar looks like that. A second empty load finds no slots before it, and is not suspect.
local function suspect(entry, starts, own)
  local loaded, latest = entry:match('^%[(%d+)'), entry:match('(%d+)%]%]$')
  return starts == '[]' and latest and latest * 60000 > now and tonumber(loaded) >= own + lag
end

local days, counting = (#KEYS - 1) / 2, 0
for i = 1, days do
  local entry_key, change_key, starts = KEYS[1 + i], KEYS[1 + days + i], ARGV[4 + i]
  -- A memory of changes that was lost under way takes the load's credit with it.
  redis.call('SET', change_key, '[0,' .. now .. ']', 'NX', 'PX', ARGV[4])
  local own, other = redis.call('GET', change_key):match('^%[(%d+),(%d+)')
  local entry = redis.call('GET', entry_key) or ''
  local stored = tonumber(entry:match('^%[(%d+)') or 0)
  if stored <= began then
    local doubt = suspect(entry, starts, tonumber(own)) and 1 or 0
    redis.call('SET', entry_key, '[' .. ARGV[1] .. ',' .. doubt .. ',' .. starts .. ']', 'PX', ARGV[3])
    redis.call('PEXPIRE', change_key, ARGV[4])
    if doubt == 0 and began >= math.max(tonumber(other), generation) + lag then
      counting = counting + 1
    end
  end
end
return counting
