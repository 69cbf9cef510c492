-- Gives charges back to the slots they were taken from, if the counters are still those that were charged.
--
-- KEYS: counters. ARGV: for each the slot, the amount, and its `gen`.
for place, key in ipairs(KEYS) do
  local field = '@' .. ARGV[place * 3 - 2]
  local held = redis.call('HGET', key, field)
  if held and redis.call('HGET', key, 'gen') == ARGV[place * 3] then
    redis.call('HSET', key, field, format(subtract(parse(held), parse(ARGV[place * 3 - 1]))))
  end
end
return {}
