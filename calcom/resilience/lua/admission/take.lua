-- Read the breaker and, unless it is open, take a permit.
-- KEYS[1], KEYS[2] as in circuit_breaker/common.lua   KEYS[3] and on as in limiter/common.lua       (same {hash tag}: one node)
-- ARGV[1], ARGV[2] as in circuit_breaker/read.lua     ARGV[3] and on as in limiter/take.lua
-- Returns {what read.lua returns, what take.lua returns}; of an open breaker only the first
local function read(KEYS, ARGV)
-- include calcom/resilience/lua/circuit_breaker/read.lua
end
local function take(KEYS, ARGV)
-- include calcom/resilience/lua/limiter/take.lua
end

local seen = read({unpack(KEYS, 1, 2)}, {unpack(ARGV, 1, 2)})
if seen[1] == 'open' then return {seen} end
return {seen, take({unpack(KEYS, 3)}, {unpack(ARGV, 3)})}
