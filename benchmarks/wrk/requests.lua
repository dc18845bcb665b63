-- wrk ... -s requests.lua URL -- FILE graphql|rest OFFSET inspect|count
--
-- Sends the requests of a file in turn, one a line: a POST body (graphql) or a path with its query
-- (rest). `inspect` looks into every reply and counts those that have errors; that costs wrk time,
-- so `count`, for timed windows, does not.
local requests, length, position = {}, 0, 0
local threads = {}
failed = 0

function setup(thread) threads[#threads + 1] = thread end

function init(arguments)
  local accept = { ["Accept"] = "application/json" }
  local headers = { ["Accept"] = "application/json", ["Content-Type"] = "application/json" }
  for line in io.lines(arguments[1]) do
    length = length + 1
    if arguments[2] == "graphql" then
      requests[length] = wrk.format("POST", wrk.path, headers, line)
    else
      requests[length] = wrk.format("GET", line, accept)
    end
  end
  position = tonumber(arguments[3]) % length
  if arguments[4] == "inspect" then
    response = function(_, _, body)
      if body:find('"errors":', 1, true) then failed = failed + 1 end
    end
  end
end

function request()
  position = position % length + 1
  return requests[position]
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
