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

# --- servers, which run until the script ends ---

venv=${XDG_CACHE_HOME:-$HOME/.cache}/imagepool-bench/venv
work=
imagepool=
servers=()

cleanup() {
    local status=$?
    trap - EXIT
    set +e
    if ((${#servers[@]})); then
        kill "${servers[@]}"
        wait "${servers[@]}"
    fi 2>/dev/null
    rm -rf "$work"
    exit "$status"
}

# The address that a server says it listens on, once it says so.
address_in() {
    local log=$1 words=$2 address
    for _ in {1..300}; do
        address=$(sed -nE "s#.*$words (http://[0-9.:]+).*#\1#p; T; q" "$log")
        if [[ -n $address ]]; then
            printf '%s\n' "$address"
            return
        fi
        sleep 0.1
    done
    die "no server: $(tail -n 5 "$log")"
}

wait_for_image() {
    for _ in {1..300}; do
        [[ $(curl --silent --output /dev/null --write-out '%{http_code} %{content_type}' "$1") == '200 image/webp' ]] &&
            return
        sleep 0.1
    done
    die "no image at $1"
}

# Serves a gallery; sets new_url, and new_pid.
start_imagepool() {
    local gallery=$1 key log
    log=$(mktemp "$work/imagepool.XXXXXX")
    key=$("$imagepool" --quiet --gallery "$gallery" key rotate)
    "$imagepool" --gallery "$gallery" serve --listen 127.0.0.1:0 >/dev/null 2>"$log" &
    new_pid=$!
    servers+=("$new_pid")
    new_url=$(address_in "$log" 'listening on')/random-image/$key
    wait_for_image "$new_url"
}

install_old_service() { install_python "$venv" Flask flask-cors gunicorn; }

# Serves a gallery's images with the old service; sets old_url, and old_pid.
start_old_service() {
    local gallery=$1 key old log
    old=$(mktemp -d "$work/old.XXXXXX")
    log=$old/stderr
    mkdir "$old/log"
    touch "$log"
    "$imagepool" --quiet --gallery "$gallery" export --all "$old/images"
    key=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
    printf '%s\n' "$key" >"$old/api_key.txt"
    OLD_SERVICE_ROOT=$old PYTHONDONTWRITEBYTECODE=1 \
        "$venv/bin/gunicorn" --workers 2 --timeout 37 --bind 127.0.0.1:0 --chdir "$benches" old_service:app \
        >/dev/null 2>"$log" &
    old_pid=$!
    servers+=("$old_pid")
    old_url=$(address_in "$log" 'Listening at:')/random-image/$key
    wait_for_image "$old_url"
}
