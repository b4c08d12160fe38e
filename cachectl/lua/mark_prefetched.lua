-- Set marks that are not set.
-- KEYS marks   ARGV[1] their lifetime, ms
-- Returns the places, from 0, of the marks that are new.
local new = {}
for place, mark in ipairs(KEYS) do
  if redis.call('SET', mark, 1, 'NX', 'PX', ARGV[1]) then
    new[#new + 1] = place - 1
  end
end
return new
