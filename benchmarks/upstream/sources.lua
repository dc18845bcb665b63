-- The three REST sources. Each user's rows are rendered once, when nginx starts: a request looks
-- strings up and joins them, so that the upstream costs little and is never what is measured.
-- Through the door `foreign`, the same users come in other words: see benchmarks/mapped.toml.
local M = {}

local USERS = 1000
local FIRST = { "Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "John", "Margaret", "Ken" }
local LAST = { "Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Allen", "Backus", "Hamilton", "Thompson" }
local LOCALES = { "en-GB", "en-US", "de-DE", "fr-FR", "ja-JP", "pt-BR" }
local PLANS = { "free", "basic", "pro", "enterprise" }
local STATUSES = { "active", "past_due", "cancelled" }
local CURRENCIES = { "EUR", "USD", "GBP" }
local EVENTS = { "login", "logout", "password_change", "purchase", "profile_update" }

local INVOICES = 5
local INVOICE_STATUSES = { "paid", "open", "void" }

local profile, billing, activity, invoices = {}, {}, {}, {}
local foreign = { profile = {}, billing = {}, activity = {} }
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

local function init_profile(id, number)
  local first, last = pick(FIRST, number), pick(LAST, math.floor(number / 10))
  local locale, created = pick(LOCALES, number), 1500000000 + number * 86400
  profile[id] = format(
    '{"id":"%s","username":"user%d","displayName":"%s %s %d","email":"user%d@example.test",'
      .. '"avatarUrl":"https://cdn.example.test/avatars/%s.png","locale":"%s","createdAt":"%s"}',
    id, number, first, last, number, number, id, locale, time(created))
  foreign.profile[id] = format(
    '{"uid":"%s","login":"user%d","name":{"display":"%s %s %d","family":"%s"},'
      .. '"emails":[{"address":"user%d@example.test","primary":true}],"picture":null,'
      .. '"thumbnail":"https://cdn.example.test/avatars/%s.png","settings":{"locale":"%s"},"created":%d}',
    id, number, first, last, number, last, number, id, locale, created)
end

local function init_billing(id, number)
  local plan, status, currency = pick(PLANS, number), pick(STATUSES, number), pick(CURRENCIES, number)
  local amount, renews = number * 7 % 500 * 100 + number * 13 % 99 + 1, 1800000000 + number * 3600
  billing[id] = format(
    '{"userId":"%s","plan":"%s","status":"%s","balance":{"amount":%d,"currency":"%s"},"renewsAt":"%s"}',
    id, plan, status, amount, currency, time(renews))
  foreign.billing[id] = format(
    '{"customer":{"ref":"%s"},"subscription":{"product":"%s","state":"%s","until":%d},'
      .. '"wallet":{"cents":%d,"iso":"%s"}}',
    id, plan, status, renews, amount, currency)
  local items = {}
  for index = 1, INVOICES do
    local of = INVOICES - index
    items[index] = format(
      '{"id":"inv-%d-%d","number":"R-%d-%d","status":"%s","issuedAt":"%s","total":{"amount":%d,"currency":"%s"}}',
      number, of, number, of, pick(INVOICE_STATUSES, number + of), time(1650000000 + number * 60 + of * 2592000),
      1000 + number * 11 % 777 + of, currency)
  end
  invoices[id] = items
end

local function init_activity(id, number)
  local seen, logins, events, history = 1700000000 + number * 600 + 300, number * 3 % 1000, {}, {}
  for event = 5, 1, -1 do
    local kind, at = pick(EVENTS, number + event), time(1700000000 + number * 600 + event * 60)
    events[6 - event] = format('{"id":"evt-%d-%d","type":"%s","occurredAt":"%s"}', number, event, kind, at)
    history[6 - event] = format('{"ref":"evt-%d-%d","kind":"%s","when":"%s"}', number, event, kind, at)
  end
  activity[id] = format('{"userId":"%s","lastSeenAt":"%s","loginCount":%d,"events":[%s]}',
    id, time(seen), logins, table.concat(events, ","))
  foreign.activity[id] = format('{"user":{"id":"%s"},"seen":%d,"counts":{"logins":%d},"history":[%s]}',
    id, seen, logins, table.concat(history, ","))
end

function M.init()
  for number = 1, USERS do
    local id = user_id(number)
    init_profile(id, number)
    init_billing(id, number)
    init_activity(id, number)
  end
end

local function answer(text)
  ngx.header.content_type = "application/json"
  ngx.header.content_length = #text
  ngx.print(text)
end

local function count(source) ngx.shared.counts:incr(source, 1, 0) end

-- The rows of the users that a call names.
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
  return "[" .. table.concat(found, ",") .. "]"
end

-- The first page of a user's invoices. Nobody asks for the second.
local function page()
  local arguments = ngx.req.get_uri_args()
  local items = invoices[arguments.userId] or {}
  local limit = math.min(tonumber(arguments.limit) or 20, #items)
  local more = limit < #items and ',"nextCursor":"2"' or ""
  answer('{"items":[' .. table.concat(items, ",", 1, limit) .. "]" .. more .. "}")
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

-- How rows are sent: as a list; in an envelope; as a list that may be kept.
local function plain(text) answer(text) end
local function enveloped(text) answer('{"status":"ok","items":' .. text .. "}") end
local function kept(text)
  ngx.header.cache_control = "public, max-age=300"
  answer(text)
end

local function door(of)
  local delay, send = of.delay or 0, of.send or plain
  local from = of.rows or { profile = profile, billing = billing, activity = activity }
  local accounts = of.accounts or function() send(rows(from.billing, "userId")) end
  return {
    profile_of_one = counted("profile", delay, one_profile),
    profiles = counted("profile", delay, function() send(rows(from.profile, "id")) end),
    accounts = counted("billing", delay, accounts),
    invoices = counted("billing", delay, page),
    summaries = counted("activity", delay, function() send(rows(from.activity, "userId")) end),
  }
end

M.fast = door({})
M.slow = door({ delay = tonumber(os.getenv("BENCH_DELAY_MS") or "20") / 1000 })
M.down = door({ accounts = refuse })
M.foreign = door({ rows = foreign, send = enveloped })
M.cached = door({ send = kept })

function M.counts()
  local counts = ngx.shared.counts
  answer(format('{"profile":%d,"billing":%d,"activity":%d}',
    counts:get("profile") or 0, counts:get("billing") or 0, counts:get("activity") or 0))
end

return M
