-- Charges all enforced demands of a call or none: what `engine::limits::settle` does, in one step at the server.
--
-- KEYS: the mark of the server that calls go to, then the counters. ARGV: what `request.rs` writes, in its order.
-- A counter is a hash: what it is (server, scope, holder, name, window), `gen` (who made it), `charges` (how many it
-- has had), `seen` (the time of the last), `max`, and for each slot that was charged `@<slot>`. The mark is one, too:
-- `gen`, `seen` and `clock` (what TIME said then). Answers are lists of strings.
local SESSION_KEPT = 100 * 86400000
local MARK_KEPT = 800 * 86400000

local read_args = 0
local function word()
  read_args = read_args + 1
  return ARGV[read_args]
end
local function number()
  return tonumber(word())
end
local function whole(value)
  return string.format('%.0f', value)
end

local function load(key)
  local flat, hash = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    hash[flat[i]] = flat[i + 1]
  end
  return hash
end

-- The time: the latest of the server's clock, the last time seen, and what the caller makes of the last time it saw
-- and its own steady clock. A caller that has seen nothing yet trusts the server's clock for the time since.
local name = word()
local estimate = number()
local time = number()
if not time then
  local now = redis.call('TIME')
  time = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end
local mark = load(KEYS[1])
mark.known = word()
mark.known_until = number()
mark.known_charges = 0
local at = math.max(time, estimate)
if mark.seen then
  local since = estimate == 0 and math.max(0, time - tonumber(mark.clock)) or 0
  at = math.max(at, tonumber(mark.seen) + since)
end

local counters = {}
for place = 1, number() do
  local counter = load(KEYS[place + 1])
  counters[place] = counter
  counter.key = KEYS[place + 1]
  counter.known = word()
  counter.known_until = number()
  counter.known_charges = number()
  counter.length, counter.cuts, counter.shift, counter.lasts = number(), number(), number(), number()
  counter.cost = parse(word())
  counter.new_max = word()
  counter.what = { 'server', word(), 'scope', word(), 'holder', word(), 'name', word(), 'window', word() }
  at = math.max(at, tonumber(counter.seen or 0))
end

-- What the caller has seen and must still be there: if it is gone, nobody knows what else is.
local function is_lost(hash)
  local due = hash.known ~= '' and at < hash.known_until
  return due and (hash.gen ~= hash.known or tonumber(hash.charges or 0) < hash.known_charges)
end
if is_lost(mark) then
  return { 'lost', whole(at) }
end
for _, counter in ipairs(counters) do
  if is_lost(counter) then
    return { 'lost', whole(at) }
  end
end

for _, counter in ipairs(counters) do
  local is_session = counter.length == 0
  counter.slot = is_session and 0 or math.floor((at * counter.cuts + counter.shift) / counter.length)
  counter.slots, counter.gone, counter.used = {}, {}, { 0, 0 }
  for field, value in pairs(counter) do
    local slot = type(field) == 'string' and string.match(field, '^@(%d+)$')
    if slot and tonumber(slot) + counter.lasts < counter.slot then
      table.insert(counter.gone, field)
    elseif slot then
      table.insert(counter.slots, { tonumber(slot), parse(value) })
      counter.used = add(counter.used, parse(value))
    end
  end
  table.sort(counter.slots, function(a, b) return a[1] < b[1] end)
end

-- When the counter has come down to `ceiling` by itself; nil if it never does.
local function down_to(counter, ceiling)
  local used = counter.used
  if not is_less(ceiling, used) then
    return at
  end
  if counter.length == 0 then
    return nil
  end
  for _, slot in ipairs(counter.slots) do
    used = subtract(used, slot[2])
    if not is_less(ceiling, used) then
      local free = slot[1] + counter.lasts + 1
      return math.ceil((free * counter.length - counter.shift) / counter.cuts)
    end
  end
  return nil
end

local full, free, missed = nil, at, {}
for nth = 0, number() - 1 do
  local counter = counters[number()]
  local max, enforced = parse(word()), word() == '1'
  if not is_less(max, add(counter.used, counter.cost)) then
    counter.is_charged = true
  elseif enforced then
    full = full or nth
  else
    table.insert(missed, nth)
  end
  if enforced and free then
    local when = not is_less(max, counter.cost) and down_to(counter, subtract(max, counter.cost))
    free = when and math.max(free, when)
  end
end

mark.gen = mark.gen or name
redis.call('HSET', KEYS[1], 'gen', mark.gen, 'seen', whole(at), 'clock', whole(time))
redis.call('PEXPIREAT', KEYS[1], whole(at + MARK_KEPT))
if full then
  return { 'full', whole(at), mark.gen, whole(at + MARK_KEPT), whole(full), free and whole(free - at) or '' }
end

local answer = { 'charged', whole(at), mark.gen, whole(at + MARK_KEPT), table.concat(missed, ',') }
for _, counter in ipairs(counters) do
  if counter.is_charged then
    if not counter.gen then
      counter.gen = name
      redis.call('HSET', counter.key, 'gen', name, unpack(counter.what))
    end
    local held = counter['@' .. whole(counter.slot)]
    local charged = format(held and add(parse(held), counter.cost) or counter.cost)
    local charges = whole(tonumber(counter.charges or 0) + 1)
    redis.call('HSET', counter.key, 'seen', whole(at), 'charges', charges, 'max', counter.new_max,
      '@' .. whole(counter.slot), charged)
    if #counter.gone > 0 then
      redis.call('HDEL', counter.key, unpack(counter.gone))
    end
    local kept = counter.length == 0 and SESSION_KEPT or 2 * counter.length + 60000
    redis.call('PEXPIREAT', counter.key, whole(at + kept))
    for _, text in ipairs({ whole(counter.slot), counter.gen, charges, whole(at + kept) }) do
      table.insert(answer, text)
    end
  else
    for _ = 1, 4 do
      table.insert(answer, '')
    end
  end
end
return answer
