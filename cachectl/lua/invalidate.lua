-- Record that days changed just now, so that no earlier load counts. Once for each invalidation.
-- KEYS[1] generation   KEYS[2] mark of this invalidation   KEYS[2+i] last changes of day i    (same {hash tag})
-- ARGV[1] 'own' if an appointment of ours changed them, 'freed' if it freed time, 'known_there' if Cal.com reported the
--         change, so that a load which begins now includes it, else 'other'
-- ARGV[2] consistency lag, ms   ARGV[3] lifetime of changes, generation and mark, ms
-- Returns the number of days invalidated, by this call or by the one that it repeats.
-- include cachectl/infra/clock.lua
local before = redis.call('GET', KEYS[2])
if before then
  return tonumber(before)
end

local now = clock()
redis.call('SET', KEYS[1], now, 'NX', 'PX', ARGV[3])

-- A day without recorded changes may have lost them, as in lease.lua.
local unknown = string.format('[0,%.0f]', now - ARGV[2])
for i = 3, #KEYS do
  local own, other, freed = (redis.call('GET', KEYS[i]) or unknown):match('^%[(%d+),(%d+)(.*)%]$')
  if ARGV[1] == 'own' then
    own = now
  elseif ARGV[1] == 'freed' then
    own, freed = now, ',' .. now
  elseif ARGV[1] == 'known_there' then
    other = string.format('%.0f', math.max(other, now - ARGV[2]))
  else
    other = now
  end
  redis.call('SET', KEYS[i], '[' .. own .. ',' .. other .. freed .. ']', 'PX', ARGV[3])
end
redis.call('SET', KEYS[2], #KEYS - 2, 'PX', ARGV[3])
return #KEYS - 2
