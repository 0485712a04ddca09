#!/usr/bin/env bash
# Runs the fuzz targets, each for some minutes, from the pictures in samples/ and whatever folders
# of pictures are named. Found inputs lie in fuzz/artifacts; each belongs into a test.
#
#   scripts/fuzz.sh MINUTES [TARGET...] [-- FOLDER...]
#
# TARGET is convert, import or record; without one all run. Needs a nightly Rust and cargo-fuzz
# (`cargo install cargo-fuzz`).
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:?usage: scripts/fuzz.sh MINUTES [TARGET...] [-- FOLDER...]}
shift
targets=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    targets+=("$1")
    shift
done
[ $# -eq 0 ] || shift
[ ${#targets[@]} -gt 0 ] || targets=(convert import record)

for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus"
    if [ "$target" != record ]; then
        # Small seeds only: a fuzzer gets nowhere with large ones.
        find samples "$@" -type f -size -20k -exec sh -c '
            for file; do cp -n "$file" "$0/seed-$(cksum < "$file" | tr -d " ")"; done' "$corpus" {} +
    fi
    # re_rav1d leaks 48 bytes for each picture that is broken, which would end every run; large
    # leaks break the limit.
    export ASAN_OPTIONS=detect_leaks=0
    # With --release the profile in fuzz/Cargo.toml holds: without it, assertions are turned on in
    # every crate.
    cargo +nightly fuzz run --release "$target" -- -max_total_time=$((minutes * 60)) \
        -rss_limit_mb=2048 -timeout=30 -max_len=65536 -detect_leaks=0 -print_final_stats=1
done
