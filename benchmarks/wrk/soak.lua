-- wrk ... -s soak.lua URL -- FILE_OF_IDS SEED FRESH
--
-- Asks in ever other words, so that caches of documents fill and evict: most requests take one of
-- HOT documents (more than none, about as many as a gateway keeps), the share FRESH has one that
-- was never sent before. Some users are unknown, some documents are refused.
local HOT = 600
local UNKNOWN, REFUSED = 0.02, 0.005
local FIELDS = {
  "username", "displayName", "email", "avatarUrl", "locale", "createdAt", "plan", "billingStatus",
  "balance { amount currency }", "balance { amount }", "renewsAt", "lastSeenAt", "loginCount",
  "events { id type occurredAt }", "events(first: 2) { id type }", "__typename",
}
local HEADERS = { ["Accept"] = "application/json", ["Content-Type"] = "application/json" }
local ids, hot, threads, made = {}, {}, {}, 0
local fresh, seed
failed = 0

local function chance(share) return math.random() < share end

-- Some fields in some order, each perhaps under another name.
local function selection(mark)
  local chosen = {}
  for _ = 1, math.random(1, 8) do
    local field = FIELDS[math.random(#FIELDS)]
    made = made + 1
    chosen[#chosen + 1] = format_alias(mark, made) .. field
  end
  return table.concat(chosen, " ")
end

function format_alias(mark, number) return string.format("f%s_%d: ", mark, number) end

-- A document, and how many users it asks for by its variables.
local function document(mark)
  local kind = math.random(4)
  if kind == 1 then
    return "query($id: ID!) { user(id: $id) { id " .. selection(mark) .. " } }", 0
  elseif kind == 2 then
    return "query Many($ids: [ID!]!) { users(ids: $ids) { id " .. selection(mark) .. " } }", math.random(2, 8)
  elseif kind == 3 then
    return "query($ids: [ID!]!, $with: Boolean = true) { users(ids: $ids) { id ...F } }"
      .. " fragment F on User { ... @include(if: $with) { " .. selection(mark) .. " } }", math.random(2, 4)
  end
  return "query($id: ID!, $ids: [ID!]!) { one: user(id: $id) { " .. selection(mark)
    .. " } many: users(ids: $ids) { " .. selection(mark) .. " } }", math.random(1, 3)
end

local function some_id()
  if chance(UNKNOWN) then
    return string.format("00000000-0000-4000-9000-%012d", math.random(0, 999999999))
  end
  return ids[math.random(#ids)]
end

local function body(text, count)
  local many = {}
  for index = 1, count do many[index] = '"' .. some_id() .. '"' end
  local variables = {}
  if text:find("$id:", 1, true) then variables[1] = '"id":"' .. some_id() .. '"' end
  if count > 0 then variables[#variables + 1] = '"ids":[' .. table.concat(many, ",") .. "]" end
  return '{"query":"' .. text .. '","variables":{' .. table.concat(variables, ",") .. "}}"
end

function setup(thread) threads[#threads + 1] = thread end

function init(arguments)
  for line in io.lines(arguments[1]) do ids[#ids + 1] = line end
  seed, fresh = tonumber(arguments[2]), tonumber(arguments[3])
  math.randomseed(1) -- the hot documents are the same every time
  for index = 1, HOT do
    local text, count = document("h")
    hot[index] = { text, count }
  end
  math.randomseed(seed)
end

function request()
  local text, count
  if chance(REFUSED) then
    made = made + 1
    text, count = string.format("{ user(id: 1) { nothing%d_%d } }", seed, made), 0
  elseif chance(fresh) then
    text, count = document(string.format("n%d", seed))
  else
    local one = hot[math.random(#hot)]
    text, count = one[1], one[2]
  end
  return wrk.format("POST", wrk.path, HEADERS, body(text, count))
end

function response(_, _, text)
  if text:find('"errors":', 1, true) then failed = failed + 1 end
end

function done(summary, latency, _)
  local inspected = 0
  for _, thread in ipairs(threads) do inspected = inspected + thread:get("failed") end
  local errors = summary.errors
  io.write(string.format(
    '\nJSON {"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d,'
      .. '"errors":%d,"failed":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, inspected))
end
