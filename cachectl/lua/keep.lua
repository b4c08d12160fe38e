-- Restore the lease of a running load if Redis lost it.
-- KEYS[1] lease   KEYS[2] list that wakes the waiters of this load    (same {hash tag})
-- ARGV[1] its token   ARGV[2] what is left of its lifetime, ms
-- Returns 1 if it was lost.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
