-- Makes wrk end with one line that compare.sh reads: requests/s, median and 99th percentile in milliseconds,
-- MB/s, and how many requests failed. Every answer but 2xx and 3xx is a failure.
function done(summary, latency)
    local seconds = summary.duration / 1e6
    local errors = summary.errors
    io.write(string.format(
        "result %.1f %.2f %.2f %.1f %d\n",
        summary.requests / seconds,
        latency:percentile(50) / 1e3,
        latency:percentile(99) / 1e3,
        summary.bytes / seconds / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout
    ))
end
