-- Note that days changed just now, so that no load from before is believed. Once for each forgetting.
-- KEYS[1] epoch   KEYS[2] mark of this forgetting   KEYS[2+i] last changes of day i    (same {hash tag})
-- ARGV[1] 'own' if an appointment of ours changed them, 'freed' if it gave time back; 'known_there' if the calendar told us of the change, so that a
-- load which begins now knows of it; else 'other'   ARGV[2] settle time, ms
-- ARGV[3] lifetime of changes, epoch and mark, ms
-- Returns how many days were forgotten, by this call or by the one that it repeats.
-- include cachectl/infra/clock.lua
local before = redis.call('GET', KEYS[2])
if before then
  return tonumber(before)
end

local now = clock()
redis.call('SET', KEYS[1], now, 'NX', 'PX', ARGV[3])

-- What is said of a day without a memory of changes: it may have lost it, as in lease.lua.
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
