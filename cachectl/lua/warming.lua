-- Become, or stay, the one who warms an account; or give that back.
-- KEYS[1] lease   ARGV[1] our token   ARGV[2] lifetime of the lease, ms; 0 gives it back
-- Returns 1, or 0 while it is somebody else's.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
