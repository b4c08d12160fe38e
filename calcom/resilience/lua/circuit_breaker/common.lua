-- Keys and functions that the scripts of the circuit breaker share.
-- KEYS[1] breaker  hash: failures (in a row), opened (times since it was last closed), open_until, leased_until (ms);
--                  and c<n>, f<n>: calls and failures in the n-th bucket
-- KEYS[2] history  list: "ms:state", newest first                                     (same {hash tag}: one node)
-- include cachectl/infra/clock.lua
local breaker, history = KEYS[1], KEYS[2]

local KEPT = 3600000          -- ms: a breaker that is not used for an hour is reset
local HISTORY_KEPT = 604800000
local BUCKET = 5000            -- ms: the resolution of the window

local function number(field)
  return tonumber(redis.call('HGET', breaker, field)) or 0
end

local function count(kind, calls, now)
  redis.call('HINCRBY', breaker, kind .. math.floor(now / BUCKET), calls)
  redis.call('PEXPIRE', breaker, KEPT)
end

local function note(state, now)
  redis.call('LPUSH', history, now .. ':' .. state)
  redis.call('LTRIM', history, 0, 49)
  redis.call('PEXPIRE', history, HISTORY_KEPT)
end
