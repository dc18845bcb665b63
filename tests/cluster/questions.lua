-- wrk ... -s questions.lua URL -- SEED SIZE
--
-- Asks for SIZE of the demo's 1,000 users, each time others, with fields of three sources.
local USERS = 1000
local QUERY = "query($ids: [ID!]!) { users(ids: $ids) { displayName plan loginCount } }"
local HEADERS = { ["Content-Type"] = "application/json" }
local size = 1

function init(arguments)
  math.randomseed(tonumber(arguments[1]))
  size = tonumber(arguments[2])
end

function request()
  local ids = {}
  for index = 1, size do
    ids[index] = string.format('"00000000-0000-4000-8000-%012d"', math.random(USERS))
  end
  local body = string.format('{"query": "%s", "variables": {"ids": [%s]}}', QUERY, table.concat(ids, ","))
  return wrk.format("POST", "/graphql", HEADERS, body)
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("%d %f %d %f\n", summary.requests, summary.duration / 1e6, failed,
    latency:percentile(99) / 1000))
end
