#!/usr/bin/env bash
# What 200 requests a second with wrong keys do to another client's latency: rounds in turn with and without them, on a server
# of this repository's samples. Half of the wrong keys have an id that the server knows. The other client is wrk with 4
# connections, each asking for a random image with the right key.
#
#   benches/wrong_keys.sh [--no-build] [ROUNDS]        needs wrk, python3, curl
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=8
if [[ ${1:-} == --no-build ]]; then
    shift
    binary=$benches/../target/release/imagepool
else
    binary=$(build_imagepool)
fi
rounds=${1:-5}
work=$(mktemp -d)
server=
stop() {
    [[ -z $server ]] || kill "$server" 2> /dev/null || true
    rm -rf "$work"
}
trap stop EXIT

export IMAGEPOOL_GALLERY=$work/gallery.pool
"$binary" --quiet import "$benches/../samples"
key=$("$binary" --quiet key rotate)
"$binary" serve --listen 127.0.0.1:0 > /dev/null 2> "$work/log" &
server=$!
until address=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$work/log" | grep .); do sleep 0.1; done
until curl -sf -o /dev/null "$address/readyz"; do sleep 0.1; done
printf 'wrk.headers["X-API-Key"] = "%s"\n' "$key" > "$work/client.lua"
cat "$benches/wrk_report.lua" >> "$work/client.lua"

cat > "$work/stranger.py" << 'PYTHON'
import http.client, sys, time
host, known, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
client = http.client.HTTPConnection(host)
start, asked = time.monotonic(), 0
while (now := time.monotonic()) < start + seconds:
    if asked < (now - start) * 200:
        key = (known if asked % 2 else f"{asked:016x}") + f"{asked:048x}"
        client.request("GET", "/random", headers={"X-API-Key": key})
        answer = client.getresponse()
        answer.read()
        assert answer.status == 401, answer.status
        asked += 1
    else:
        time.sleep(0.001)
print(f"{asked / seconds:.0f} wrong keys a second", file=sys.stderr)
PYTHON

measure() {
    wrk -t1 -c4 -d"${seconds}s" --latency -s "$work/client.lua" "$address/random" | awk '/^result/ { print $4 }'
}
measure > /dev/null
for ((round = 1; round <= rounds; round++)); do
    measure >> "$work/alone"
    python3 "$work/stranger.py" "${address#http://}" "${key:0:16}" $((seconds + 1)) &
    stranger=$!
    sleep 0.5
    measure >> "$work/beside"
    wait "$stranger"
done
alone=$(median < "$work/alone")
beside=$(median < "$work/beside")
say "99th percentiles in ms, alone: $(tr '\n' ' ' < "$work/alone")beside: $(tr '\n' ' ' < "$work/beside")"
printf '%s: 99th percentile %s ms alone, %s ms beside 200 wrong keys a second, ratio %s (medians of %d)\n' \
    "$(machine)" "$alone" "$beside" "$(calculate %.2f "$beside / $alone")" "$rounds"
