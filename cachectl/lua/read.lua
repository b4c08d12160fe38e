-- Read days with all that decides their freshness, and count the read as demand.
-- KEYS[1] generation   KEYS[2] refresh mark   KEYS[3] demand of this hour   KEYS[4] lease
-- KEYS[4+i] entry of day i, KEYS[4+n+i] its last changes    (same {hash tag}: all on one node)
-- ARGV[1] event type, or '' for a read without a caller   ARGV[2] lifetime of the generation, ms   ARGV[3] lifetime of demand, s
-- Returns JSON: [now in ms, generation in ms, refresh queued 0|1, loading 0|1, [entry or null …], [changes or null …]]
-- include cachectl/infra/clock.lua
local now = clock()

local generation = redis.call('GET', KEYS[1])
if not generation then
  generation = now
  redis.call('SET', KEYS[1], now, 'PX', ARGV[2])
end

if ARGV[1] ~= '' and redis.call('ZINCRBY', KEYS[3], 1, ARGV[1]) == '1' then
  redis.call('EXPIRE', KEYS[3], ARGV[3])
end

local found = redis.call('MGET', unpack(KEYS, 5))
for i = 1, #KEYS - 4 do
  found[i] = found[i] or 'null'
end
local days = (#KEYS - 4) / 2
return '[' .. now .. ',' .. generation .. ',' .. redis.call('EXISTS', KEYS[2]) .. ',' .. redis.call('EXISTS', KEYS[4])
  .. ',[' .. table.concat(found, ',', 1, days) .. '],[' .. table.concat(found, ',', days + 1) .. ']]'
