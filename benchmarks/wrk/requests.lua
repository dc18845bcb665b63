-- wrk ... -s requests.lua URL -- FILE graphql|rest MEDIA_TYPE OFFSET KNOWN ASIDE
--
-- Sends the requests of a file in turn, one a line: a POST body (graphql) or a path with its query
-- (rest). Each answer has to be, byte for byte, one of KNOWN, which are known to be right, and that
-- of a request that is under way. Each record of KNOWN is "NUMBER LENGTH\n", the answer, and "\n";
-- NUMBER is the line of its request. An answer that is not there is written into ASIDE, once, to be
-- judged afterwards: "LENGTH\n", the answer, and "\n".
local MOST_ASIDE = 20000

local requests, numbers, length, position = {}, {}, 0, 0
local known, under_way, aside, kept = {}, {}, {}, nil
local threads = {}
right, unknown, wrong = 0, 0, 0

function setup(thread) threads[#threads + 1] = thread end

local function read_requests(path, is_graphql, media_type)
  local headers = { ["Accept"] = media_type }
  local first = {}
  if is_graphql then headers["Content-Type"] = "application/json" end
  for line in io.lines(path) do
    length = length + 1
    first[line] = first[line] or length
    numbers[length], under_way[length] = first[line], 0
    if is_graphql then
      requests[length] = wrk.format("POST", wrk.path, headers, line)
    else
      requests[length] = wrk.format("GET", line, headers)
    end
  end
end

local function read_known(path)
  local file = assert(io.open(path, "rb"))
  for head in file:lines() do
    local number, size = head:match("^(%d+) (%d+)$")
    known[file:read(tonumber(size))] = tonumber(number)
    file:read(1)
  end
  file:close()
end

function init(arguments)
  read_requests(arguments[1], arguments[2] == "graphql", arguments[3])
  position = tonumber(arguments[4]) % length
  read_known(arguments[5])
  kept = assert(io.open(arguments[6], "wb"))
  kept:setvbuf("no")
end

function request()
  position = position % length + 1
  local number = numbers[position]
  under_way[number] = under_way[number] + 1
  return requests[position]
end

function response(status, _, body)
  local number = known[body]
  if status ~= 200 or (number and under_way[number] == 0) then
    wrong = wrong + 1
  elseif number then
    under_way[number] = under_way[number] - 1
    right = right + 1
  else
    unknown = unknown + 1
    if not aside[body] and #aside < MOST_ASIDE then
      aside[body], aside[#aside + 1] = true, true
      kept:write(#body, "\n", body, "\n")
    elseif not aside[body] then
      wrong = wrong + 1
    end
  end
end

function done(summary, latency, _)
  local found = { right = 0, unknown = 0, wrong = 0 }
  for _, thread in ipairs(threads) do
    for name, count in pairs(found) do found[name] = count + thread:get(name) end
  end
  local errors = summary.errors
  io.write(string.format(
    '\nJSON {"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d,'
      .. '"errors":%d,"failed":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.timeout, found.wrong))
end
