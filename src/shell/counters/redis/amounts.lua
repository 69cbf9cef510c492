-- Amounts are whole numbers of 10^-9 up to 10^24, and Lua has only doubles: an amount is two limbs of twelve decimal
-- digits each, {high, low}. Every number here stays far below 2^53, where doubles are exact.
local LIMB = 1000000000000

local function parse(text)
  if #text <= 12 then
    return { 0, tonumber(text) }
  end
  return { tonumber(string.sub(text, 1, -13)), tonumber(string.sub(text, -12)) }
end

local function format(amount)
  if amount[1] == 0 then
    return string.format('%.0f', amount[2])
  end
  return string.format('%.0f%012.0f', amount[1], amount[2])
end

local function is_less(a, b)
  return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2])
end

local function add(a, b)
  local high, low = a[1] + b[1], a[2] + b[2]
  if low >= LIMB then
    return { high + 1, low - LIMB }
  end
  return { high, low }
end

-- Nothing is below zero.
local function subtract(a, b)
  if is_less(a, b) then
    return { 0, 0 }
  end
  local high, low = a[1] - b[1], a[2] - b[2]
  if low < 0 then
    return { high - 1, low + LIMB }
  end
  return { high, low }
end
