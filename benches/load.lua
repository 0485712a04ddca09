-- Loads a server with wrk: each request asks for a random one of the paths in the file that the
-- environment variable PATHS names, a line each. The same for every server, so that it costs the
-- load the same. Ends with one line for harness.py: requests/s, median and 99th percentile in ms,
-- MB/s, and how many requests failed. Every answer but 2xx and 3xx is a failure.
local paths, requests, threads = {}, {}, 0
for path in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = path end

function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

function init()
    math.randomseed(seed)
    for index, path in ipairs(paths) do requests[index] = wrk.format("GET", path) end
end

function request() return requests[math.random(#requests)] end

function done(summary, latency)
    local seconds, errors = summary.duration / 1e6, summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format("result %.1f %.2f %.2f %.1f %d\n", summary.requests / seconds,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        summary.bytes / seconds / 1e6, failed))
end
