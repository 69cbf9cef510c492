-- Charges all enforced demands of a call or none: what `engine::limits::settle` does, in one step at the server.
--
-- KEYS: the mark of the server that calls go to, then the counters. ARGV: what `request.rs` writes, in its order.
-- A counter is a hash: what it is (server, scope, holder, name, window), `gen` (who made it), `charges` (how many it
-- has had), `seen` (the time of the last), `max`, and for each slot that was charged `@<slot>`. The mark is one, too:
-- `gen`, `seen`, `clock` (what TIME said then) and `lead` (see below). Answers are lists of strings.
--
-- A script that fails does not take back what it has written. So everything that can fail comes first: all values are
-- read as numbers, and what the caller may not do is tried on the mark, before anything is written.
local SESSION_KEPT = 100 * 86400000
local MARK_KEPT = 800 * 86400000
local HOUR = 3600000
-- The end of the year 9999: no clock is believed beyond it.
local LATEST = 253402300799999

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

-- A time that was kept; nil if there is none, or none that is believed.
local function believed(text)
  local value = text and tonumber(text)
  return value and value < LATEST and value or nil
end

local name = word()
local estimate = number()
local time = number()
if not time then
  local now = redis.call('TIME')
  time = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end
if time >= LATEST then
  return { 'clock', '0' }
end
local mark = load(KEYS[1])
mark.known = word()
mark.known_until = number()
mark.known_charges = 0

-- The time of limits is the server's clock. If that was set back, it is the last time seen and the time since. The
-- server's clock tells how long that is; a caller's steady clock may tell that it is less, if the server's has been set
-- forth again, or more, if it has been set back meanwhile. For that the caller is believed for an hour in all (`lead`),
-- until the server's clock has caught up, and only if it speaks of this very server: the mark is the one it knows.
-- Clocks do not run equally fast: what is within a second and a thousandth is no difference.
local at, lead = time, 0
local seen, clock = believed(mark.seen), believed(mark.clock)
if seen and clock then
  local since = math.max(0, time - clock)
  local passed = math.min(since, HOUR)
  lead = math.min(math.max(tonumber(mark.lead or 0), 0), HOUR)
  if estimate > 0 and mark.known == mark.gen then
    local told = math.max(0, estimate - seen)
    passed = math.min(told, since)
    local more = told - since
    if more > 1000 + told / 1000 then
      more = math.min(more, HOUR - lead)
      passed, lead = passed + more, lead + more
    end
  end
  at = math.max(time, seen + passed)
  if at == time then
    lead = 0
  end
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
  counter.charges = tonumber(counter.charges or 0)
  at = math.max(at, believed(counter.seen) or 0)
end
at = math.min(at, LATEST)

-- What the caller has seen and must still be there: if it is gone, nobody knows what else is.
local function is_lost(hash)
  local due = hash.known ~= '' and at < hash.known_until
  return due and (hash.gen ~= hash.known or (hash.charges or 0) < hash.known_charges)
end
if is_lost(mark) then
  return { 'lost', whole(at) }
end
for _, counter in ipairs(counters) do
  if is_lost(counter) then
    return { 'lost', whole(at) }
  end
end

local function slot_of(counter, when)
  return counter.length == 0 and 0 or math.floor((when * counter.cuts + counter.shift) / counter.length)
end

for _, counter in ipairs(counters) do
  counter.slot = slot_of(counter, at)
  local last = slot_of(counter, LATEST)
  counter.slots, counter.gone, counter.used = {}, {}, { 0, 0 }
  for field, value in pairs(counter) do
    local slot = type(field) == 'string' and string.match(field, '^@(%d+)$')
    if slot and (tonumber(slot) + counter.lasts < counter.slot or tonumber(slot) > last) then
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
local mark_until = whole(at + MARK_KEPT)
-- These change nothing that counts, but they fail if there is no memory left, or the caller may not do them.
redis.call('HSET', KEYS[1], 'gen', mark.gen)
redis.call('HDEL', KEYS[1], '@')
redis.call('PEXPIREAT', KEYS[1], mark_until)
redis.call('HSET', KEYS[1], 'seen', whole(at), 'clock', whole(time), 'lead', whole(lead))
if full then
  return { 'full', whole(at), mark.gen, mark_until, whole(full), free and whole(free - at) or '' }
end

local answer = { 'charged', whole(at), mark.gen, mark_until, table.concat(missed, ',') }
for _, counter in ipairs(counters) do
  if counter.is_charged then
    local fields = { 'seen', whole(at), 'max', counter.new_max }
    if not counter.gen then
      counter.gen = name
      table.insert(fields, 'gen')
      table.insert(fields, name)
      for _, text in ipairs(counter.what) do
        table.insert(fields, text)
      end
    end
    local field = '@' .. whole(counter.slot)
    local held = counter[field]
    local charges = whole(counter.charges + 1)
    for _, text in ipairs({ 'charges', charges, field, format(held and add(parse(held), counter.cost) or counter.cost) }) do
      table.insert(fields, text)
    end
    for _, gone in ipairs(counter.gone) do
      redis.call('HDEL', counter.key, gone)
    end
    redis.call('HSET', counter.key, unpack(fields))
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
