-- Read days with all that is needed to judge them, and count the question as demand.
-- KEYS[1] epoch   KEYS[2] refresh mark   KEYS[3] demand of this hour   KEYS[4] lease
-- KEYS[4+i] entry of day i, KEYS[4+n+i] its last changes    (same {hash tag}: all on one node)
-- ARGV[1] event type, or '' where nobody asks   ARGV[2] lifetime of the epoch, ms   ARGV[3] lifetime of demand, s
-- Returns JSON: [now in ms, epoch in ms, refresh queued 0|1, somebody loads 0|1, [entry or null …], [changes or null …]]
-- include cachectl/infra/clock.lua
local now = clock()

local epoch = redis.call('GET', KEYS[1])
if not epoch then
  epoch = now
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
return '[' .. now .. ',' .. epoch .. ',' .. redis.call('EXISTS', KEYS[2]) .. ',' .. redis.call('EXISTS', KEYS[4])
  .. ',[' .. table.concat(found, ',', 1, days) .. '],[' .. table.concat(found, ',', days + 1) .. ']]'
