-- Take, renew or release the lease on warming an account.
-- KEYS[1] lease   ARGV[1] our token   ARGV[2] lifetime of the lease, ms; 0 releases it
-- Returns 1, or 0 while another run holds it.
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
