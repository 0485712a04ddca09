# What the benches share, to be sourced by bash: words, numbers, the build, and how busy the machine is.
# shellcheck shell=bash

benches=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "$*" >&2; }

die() {
    say "${0##*/}: $*"
    exit 2
}

# Builds this checkout; prints where the binary is.
build_imagepool() {
    say "building imagepool"
    (cd "$benches/.." && cargo build --release --locked --quiet)
    local target
    target=$(cd "$benches/.." && cargo metadata --format-version 1 --no-deps --locked |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    printf '%s\n' "$target/release/imagepool"
}

# Makes a virtual environment with some packages, unless it is there: install_python FOLDER PACKAGE...
# The mark is set last, so that an installation which was interrupted is done again.
install_python() {
    local venv=$1
    shift
    [[ -e $venv/complete ]] && return
    say "installing $* to $venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
    touch "$venv/complete"
}

# What awk makes of an expression, as in: calculate %.1f '7 / 2'
calculate() { awk "BEGIN { printf \"$1\", $2 }"; }

median() {
    sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# The date and the machine, as a table's caption begins.
machine() {
    printf '%s, %s cores, %s' "$(date --utc +%Y-%m-%d)" "$(nproc)" \
        "$(lscpu | sed -n 's/^Model name: *//p' | grep . || echo 'unknown processor')"
}

# How long the cores were idle since the system's start, and how long there were.
core_times() { awk '/^cpu / { print $5 + $6, $2 + $3 + $4 + $5 + $6 + $7 + $8 }' /proc/stat; }

# The share of the cores that others take: what is busy while nothing is measured.
busy_percent() {
    local idle_before all_before idle all
    read -r idle_before all_before < <(core_times)
    sleep 2
    read -r idle all < <(core_times)
    calculate %.0f "100 * (1 - ($idle - $idle_before) / ($all - $all_before))"
}
