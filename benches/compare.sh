#!/usr/bin/env bash
#
# Compares imagepool with the service that it replaces, on this machine and with your pictures.
#
#   benches/compare.sh PICTURES_DIR
#
# Imports the pictures twice, serves the same WebP files with both services (the old one is rebuilt in
# old_service.py and run as it was), and prints a table in Markdown on stdout. Exits 1 when a target is missed:
#
#   - the random route answers at least 3 times as many requests a second as the old service's;
#   - a second import takes less than 5 % of the first one's time;
#   - 100,000 random images are spread as chance would do it: p of a chi-square test above 0.001.
#
# The load comes from the same machine and takes its share of the cores, for both services alike. Both keep their
# log as they do by default, in a file: imagepool writes a line for each request, the old service none.
#
# Needs Linux, cargo, python3 with venv, curl, and the Debian package wrk. The pictures are only read.
#
#   ROUNDS           rounds of load on each service, in turn (default 3; medians are shown)
#   ROUND_SECONDS    length of a round (default 10)
#   XDG_CACHE_HOME   the old service's Python packages are kept in imagepool-bench there (default ~/.cache)
#   TMPDIR           the galleries go there: some times the size of the pictures as WebP

set -euo pipefail
shopt -s inherit_errexit
# Numbers are written with a point, and files sorted alike, everywhere.
export LC_ALL=C
# What the environment says to either service must not change what is measured.
unset "${!IMAGEPOOL_@}" GUNICORN_CMD_ARGS

readonly rounds=${ROUNDS:-3}
readonly round_seconds=${ROUND_SECONDS:-10}
readonly second_imports=3
readonly picks=100000
readonly least_ratio=3
readonly most_second_import_percent=5
readonly least_p=0.001

# shellcheck source=benches/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
pictures=
missed=0

prepare() {
    local tool
    [[ $# == 1 && -d $1 ]] || die "usage: benches/compare.sh PICTURES_DIR"
    pictures=$(realpath "$1")
    for tool in cargo python3 curl wrk; do
        command -v "$tool" >/dev/null || die "$tool not found"
    done
    work=$(mktemp -d)
    trap cleanup EXIT
    trap 'exit 130' INT TERM
}

# --- numbers ---

microseconds() { printf '%s\n' "${EPOCHREALTIME/./}"; }

# A field of all rounds, in a line each.
field() { cut -d ' ' -f "$2" "$work/$1.rounds"; }

# --- imports ---

# Prints how many seconds an import took, from the start of the program to its end.
import_seconds() {
    local started ended status=0
    started=$(microseconds)
    "$imagepool" --gallery "$work/gallery.pool" import --renditions none --json "$pictures" >"$work/summary.json" 2>"$work/import.log" ||
        status=$?
    ended=$(microseconds)
    # 1: some pictures could not be imported; the summary says how many.
    if ((status > 1)) || [[ ! -s $work/summary.json ]]; then
        die "the import failed: $(tail -n 5 "$work/import.log")"
    fi
    calculate '%.3f\n' "($ended - $started) / 1e6"
}

summary() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/summary.json" "$1"; }

import_pictures() {
    say "importing $pictures"
    # Both imports find the files in the page cache, so that the ratio does not depend on the disk.
    find "$pictures" -type f -exec cat {} + >/dev/null
    first_import=$(import_seconds)
    imported=$(summary imported) failed=$(summary failed) bytes_in=$(summary bytes_in)
    ((imported > 1)) || die "$pictures: no pictures to compare with"
    local run
    for ((run = 0; run < second_imports; run++)); do
        import_seconds
    done >"$work/second_imports"
    second_import=$(median <"$work/second_imports")
    second_import_percent=$(calculate %.2f "100 * $second_import / $first_import")
}

# --- load ---

load() {
    wrk --threads 2 --connections 64 --duration "$2s" --script "$benches/wrk_report.lua" "$1" |
        sed -n 's/^result //p'
}

measure_load() {
    local round
    load "$old_url" 2 >/dev/null
    load "$new_url" 2 >/dev/null
    busy=$(busy_percent)
    for ((round = 1; round <= rounds; round++)); do
        say "load, round $round of $rounds"
        load "$old_url" "$round_seconds" >>"$work/old.rounds"
        load "$new_url" "$round_seconds" >>"$work/new.rounds"
    done
}

measure_uniformity() {
    say "$picks random images"
    local answer
    answer=$("$imagepool" --gallery "$work/gallery.pool" list --json |
        PYTHONDONTWRITEBYTECODE=1 python3 "$benches/uniformity.py" "$new_url" "$picks")
    read -r images _ chi_square degrees p <<<"$answer"
}

# --- report ---

# A row of the load table: its title, the field, a format for the number.
row() {
    local title=$1 number=$2 format=$3 old new
    old=$(field old "$number" | median)
    new=$(field new "$number" | median)
    printf '| %s | %s | %s | %s |\n' "$title" "$(calculate "$format" "$old")" "$(calculate "$format" "$new")" \
        "$(calculate %.2f "$new / $old")"
}

spread() { field "$1" 1 | sort -n | sed -n '1p; $p' | paste -s -d ' ' | sed 's/ / to /'; }

sum() { field "$1" 5 | awk '{ sum += $1 } END { print sum }'; }

report() {
    local megabytes
    megabytes=$(calculate %.0f "$bytes_in / 1e6")
    printf '%s. ' "$(machine)"
    printf '%s; ' "$("$imagepool" --version)" "$("$venv/bin/gunicorn" --version)"
    printf 'wrk with 64 connections on the same machine, medians over %s x %s s. ' "$rounds" "$round_seconds"
    printf 'Others kept the cores %s %% busy.\n\n' "$busy"
    printf '| random route, %s images | old service | imagepool | imagepool / old |\n' "$images"
    printf '|---|---:|---:|---:|\n'
    row 'requests/s' 1 %.0f
    printf '| requests/s, all rounds | %s | %s | |\n' "$(spread old)" "$(spread new)"
    row 'latency, median, ms' 2 %.2f
    row 'latency, 99th percentile, ms' 3 %.2f
    row 'MB/s' 4 %.0f
    printf '| failed requests | %s | %s | |\n\n' "$(sum old)" "$(sum new)"
    printf '| | |\n|---|---|\n'
    printf '| first import | %s s: %s pictures, %s failed; %s MB |\n' "$first_import" "$imported" "$failed" "$megabytes"
    printf '| second import, median of %s | %s s, %s %% of the first |\n' \
        "$second_imports" "$second_import" "$second_import_percent"
    printf '| %s picks among %s images | chi-square %s, %s degrees of freedom, p = %s |\n\n' \
        "$picks" "$images" "$chi_square" "$degrees" "$p"
}

# Whether a target, in words and as a condition, was met.
judge() {
    if [[ $(calculate %d "($2)") == 1 ]]; then
        printf -- '- met: %s\n' "$1"
    else
        printf -- '- MISSED: %s\n' "$1"
        missed=1
    fi
}

judge_all() {
    judge "at least $least_ratio times the old service's requests/s" \
        "$(field new 1 | median) >= $least_ratio * $(field old 1 | median)"
    judge "no request to imagepool failed" "$(sum new) == 0"
    judge "a second import takes less than $most_second_import_percent % of the first" \
        "$second_import_percent < $most_second_import_percent"
    judge "images are picked uniformly, p above $least_p" "$p > $least_p"
}

main() {
    prepare "$@"
    imagepool=$(build_imagepool)
    install_old_service
    import_pictures
    start_old_service "$work/gallery.pool"
    start_imagepool "$work/gallery.pool"
    measure_load
    measure_uniformity
    report
    judge_all
    return "$missed"
}

main "$@"
