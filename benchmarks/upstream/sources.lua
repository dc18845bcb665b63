-- The three REST sources. Each user's rows are rendered once, when nginx starts: a request looks
-- strings up and joins them, so that the upstream costs little and is never what is measured.
local M = {}

local USERS = 1000
local FIRST = { "Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "John", "Margaret", "Ken" }
local LAST = { "Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Allen", "Backus", "Hamilton", "Thompson" }
local LOCALES = { "en-GB", "en-US", "de-DE", "fr-FR", "ja-JP", "pt-BR" }
local PLANS = { "free", "basic", "pro", "enterprise" }
local STATUSES = { "active", "past_due", "cancelled" }
local CURRENCIES = { "EUR", "USD", "GBP" }
local EVENTS = { "login", "logout", "password_change", "purchase", "profile_update" }

local profile, billing, activity = {}, {}, {}
local format = string.format

local function time(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", seconds) end
local function pick(list, number) return list[number % #list + 1] end

-- As in benchmarks/users.py.
local function user_id(number)
  if os.getenv("BENCH_IDS") == "patterned" then
    return format("00000000-0000-4000-8000-%012d", number)
  end
  local hex = ngx.md5("user-" .. number)
  local variant = format("%x", 8 + tonumber(hex:sub(17, 17), 16) % 4)
  return table.concat({
    hex:sub(1, 8), hex:sub(9, 12), "4" .. hex:sub(14, 16), variant .. hex:sub(18, 20), hex:sub(21, 32),
  }, "-")
end

function M.init()
  for number = 1, USERS do
    local id = user_id(number)
    profile[id] = format(
      '{"id":"%s","username":"user%d","displayName":"%s %s %d","email":"user%d@example.test",'
        .. '"avatarUrl":"https://cdn.example.test/avatars/%s.png","locale":"%s","createdAt":"%s"}',
      id, number, pick(FIRST, number), pick(LAST, math.floor(number / 10)), number, number,
      id, pick(LOCALES, number), time(1500000000 + number * 86400))
    billing[id] = format(
      '{"userId":"%s","plan":"%s","status":"%s","balance":{"amount":%d,"currency":"%s"},"renewsAt":"%s"}',
      id, pick(PLANS, number), pick(STATUSES, number), number * 7 % 500 * 100 + number * 13 % 99 + 1,
      pick(CURRENCIES, number), time(1800000000 + number * 3600))
    local events = {}
    for event = 5, 1, -1 do
      events[6 - event] = format('{"id":"evt-%d-%d","type":"%s","occurredAt":"%s"}',
        number, event, pick(EVENTS, number + event), time(1700000000 + number * 600 + event * 60))
    end
    activity[id] = format('{"userId":"%s","lastSeenAt":"%s","loginCount":%d,"events":[%s]}',
      id, time(1700000000 + number * 600 + 300), number * 3 % 1000, table.concat(events, ","))
  end
end

local function answer(text)
  ngx.header.content_type = "application/json"
  ngx.header.content_length = #text
  ngx.print(text)
end

local function count(source) ngx.shared.counts:incr(source, 1, 0) end

local function rows(of, parameter)
  local ids = ngx.req.get_uri_args(0)[parameter]
  if type(ids) ~= "table" then ids = { ids } end
  local found, length = {}, 0
  for index = 1, #ids do
    local row = of[ids[index]]
    if row then
      length = length + 1
      found[length] = row
    end
  end
  answer("[" .. table.concat(found, ",") .. "]")
end

local function one_profile()
  local row = profile[ngx.var.uri:sub(#"/profile/users/" + 1)]
  if not row then
    ngx.status = 404
    return answer('{"error":"not found"}')
  end
  answer(row)
end

local function refuse()
  ngx.status = 503
  answer('{"error":"billing is down"}')
end

-- What a source does before it answers: it is counted, and waits if its door is a slow one.
local function counted(source, delay, act)
  if delay == 0 then
    return function() count(source); act() end
  end
  return function() count(source); ngx.sleep(delay); act() end
end

local function door(delay, accounts)
  return {
    profile_of_one = counted("profile", delay, one_profile),
    profiles = counted("profile", delay, function() rows(profile, "id") end),
    accounts = counted("billing", delay, accounts),
    summaries = counted("activity", delay, function() rows(activity, "userId") end),
  }
end

local function accounts() rows(billing, "userId") end

M.fast = door(0, accounts)
M.slow = door(tonumber(os.getenv("BENCH_DELAY_MS") or "20") / 1000, accounts)
M.down = door(0, refuse)

function M.counts()
  local counts = ngx.shared.counts
  answer(format('{"profile":%d,"billing":%d,"activity":%d}',
    counts:get("profile") or 0, counts:get("billing") or 0, counts:get("activity") or 0))
end

return M
