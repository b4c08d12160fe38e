-- End a load: release the lease, leave a note if it failed, wake the waiters.
-- KEYS[1] lease   KEYS[2] note of a failure   KEYS[3] list that wakes the waiters    (same {hash tag})
-- ARGV[1] our token   ARGV[2] note, or ''   ARGV[3] lifetime of the note, ms   ARGV[4] lifetime of the list, ms
-- Returns 1 if the lease was still ours.
local ours = redis.call('GET', KEYS[1]) == ARGV[1]
if ours then
  redis.call('DEL', KEYS[1])
end
if ours and ARGV[2] ~= '' then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
redis.call('RPUSH', KEYS[3], '1')
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return ours and 1 or 0
