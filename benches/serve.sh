#!/usr/bin/env bash
#
# Compares imagepool with nginx and with the service that it replaces, on loopback, and writes the table and the plot in
# docs/performance.md.
#
#   benches/serve.sh [--quick] [--print] [PICTURES_DIR]
#
#   --quick   one round instead of five, at 64 connections only
#   --print   print the table, and leave docs alone
#
# Without PICTURES_DIR it makes 312 files with the sizes of photographs as WebP. A second set has 10,000 files of 4 KB. All
# servers have the same files: imagepool a gallery of them, nginx and the old service a folder. The load is wrk with one script for
# all, which asks for a random one of many paths; it takes its share of the cores, for each server alike.
#
#   nginx          2 workers, sendfile, tcp_nopush, open_file_cache, no access log: files by their names
#   random_index   the same nginx, with its module that picks a file of a folder
#   old service    Flask under gunicorn with 2 workers, as it was run (old_service.py)
#   imagepool      as it comes: a key checked in each request, an access log, metrics
#
# Exits 1 when a target at 64 connections is missed. Needs Linux, cargo, python3 with venv, curl, and the Debian packages wrk
# and nginx-light.
#
#   ROUNDS           rounds, the servers in turn (default 5; medians are shown)
#   ROUND_SECONDS    length of a round (default 3)
#   XDG_CACHE_HOME   Python packages and files that are made are kept in imagepool-bench there (default ~/.cache)
#   TMPDIR           the galleries go there

set -euo pipefail
shopt -s inherit_errexit
# Numbers are written with a point, and files sorted alike, everywhere.
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
# What the environment says to either service must not change what is measured.
unset "${!IMAGEPOOL_@}" GUNICORN_CMD_ARGS

rounds=${ROUNDS:-5}
round_seconds=${ROUND_SECONDS:-3}
all_connections=(1 16 64 256)
readonly small_count=10000

# shellcheck source=benches/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/imagepool-bench
report_flags=()
pictures=

prepare() {
    local tool
    while [[ ${1:-} == --* ]]; do
        case $1 in
            --quick) rounds=1 all_connections=(64) ;;
            --print) report_flags=(--print) ;;
            *) die "no such flag: $1" ;;
        esac
        shift
    done
    [[ $# == 0 || ($# == 1 && -d $1) ]] || die "usage: benches/serve.sh [--quick] [--print] [PICTURES_DIR]"
    [[ $# == 0 ]] || pictures=$(realpath "$1")
    for tool in cargo python3 curl wrk nginx; do
        command -v "$tool" >/dev/null || die "$tool not found"
    done
    work=$(mktemp -d)
    chmod 755 "$work"
    trap cleanup EXIT
    trap 'exit 130' INT TERM
}

# Makes files once, and keeps them: made KIND COUNT
made() {
    local folder=$cache/serve-$1-$2
    if [[ ! -d $folder ]]; then
        say "making $2 files"
        rm -rf "$folder.part"
        "$cache/pictures-venv/bin/python" "$benches/serve_gallery.py" "$1" "$folder.part" "$2"
        mv "$folder.part" "$folder"
    fi
    printf '%s\n' "$folder"
}

# Imports pictures, and puts what became of them where nginx finds it: gallery NAME FOLDER
gallery() {
    say "importing $2"
    "$imagepool" --quiet --gallery "$work/$1.pool" import --renditions none --json "$2" >/dev/null 2>"$work/import.log" ||
        [[ -s $work/$1.pool ]] || die "the import failed: $(tail -n 5 "$work/import.log")"
    "$imagepool" --quiet --gallery "$work/$1.pool" export --all "$work/www/$1"
    find "$work/www/$1" -name '*.webp' -printf "/$1/%f\n" >"$work/$1.nginx"
}

# Starts nginx; sets nginx_url and nginx_pid.
start_nginx() {
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    cat >"$work/nginx.conf" <<EOF
worker_processes 2;
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 4096; }
http {
    types { image/webp webp; }
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1h;
    access_log off;
    server {
        listen 127.0.0.1:$port backlog=4096 reuseport;
        root $work/www;
        location /random/ { alias $work/www/; random_index on; }
    }
}
EOF
    # As root its workers would be another user, who may not read temporary folders.
    [[ $(id -u) != 0 ]] || sed -i '1i user root;' "$work/nginx.conf"
    nginx -c "$work/nginx.conf" 2>/dev/null &
    nginx_pid=$!
    servers+=("$nginx_pid")
    nginx_url=http://127.0.0.1:$port
    wait_for_image "$nginx_url$(head -n 1 "$work/photos.nginx")"
}

# Paths that differ only in what servers ignore: repeated PATH FILE
repeated() { for number in {1..312}; do printf '%s?x=%s\n' "$1" "$number"; done >"$2"; }

# Hundredths of a second that a process and its children have used.
ticks() {
    local stats=() process
    for process in "$1" $(pgrep -P "$1"); do
        stats+=("/proc/$process/stat")
    done
    awk '{ ticks += $14 + $15 } END { print ticks }' "${stats[@]}"
}

# Loads a server, and adds a line to the results: load SET SERVER CONNECTIONS URL PROCESS PATHS
load() {
    local before after result threads=2
    (($3 > 1)) || threads=1
    before=$(ticks "$5")
    result=$(PATHS=$6 wrk --threads "$threads" --connections "$3" --duration "${round_seconds}s" \
        --script "$work/load.lua" "$4" | sed -n 's/^result //p')
    after=$(ticks "$5")
    [[ $result ]] || die "no result for $2"
    printf '%s %s %s %s %s\n' "$1" "$2" "$3" "$result" "$(calculate %.2f "($after - $before) * 10 / $round_seconds")" \
        >>"$work/results"
}

measure() {
    local set=$1 connections round server url path
    start_old_service "$work/$set.pool"
    start_imagepool "$work/$set.pool"
    repeated "/random/$set/" "$work/$set.random_index"
    for server in old new; do
        url=${server}_url
        path=${!url#http://*/}
        repeated "/$path" "$work/$set.$server"
    done
    origin() { printf '%s\n' "$1" | cut -d / -f 1-3; }
    # Every image is read, and its bytes checked, once.
    load warm imagepool 64 "$(origin "$new_url")" "$new_pid" "$work/$set.new"
    for connections in "${all_connections[@]}"; do
        for ((round = 1; round <= rounds; round++)); do
            say "$set, $connections connections, round $round of $rounds"
            load "$set" nginx "$connections" "$nginx_url" "$nginx_pid" "$work/$set.nginx"
            load "$set" imagepool "$connections" "$(origin "$new_url")" "$new_pid" "$work/$set.new"
            load "$set" random_index "$connections" "$nginx_url" "$nginx_pid" "$work/$set.random_index"
            load "$set" old "$connections" "$(origin "$old_url")" "$old_pid" "$work/$set.old"
        done
    done
}

main() {
    prepare "$@"
    imagepool=$(build_imagepool)
    install_old_service
    install_python "$cache/pictures-venv" Pillow numpy
    mkdir "$work/www"
    cat "$benches/random_path.lua" "$benches/wrk_report.lua" >"$work/load.lua"
    gallery photos "${pictures:-$(made photos 312)}"
    gallery small "$(made small "$small_count")"
    start_nginx
    local busy
    busy=$(busy_percent)
    measure photos
    measure small
    python3 "$benches/serve_report.py" "${report_flags[@]}" "$work/results" "$(machine), $(cat /proc/sys/net/ipv4/tcp_congestion_control) for TCP. \
$("$imagepool" --version), $(nginx -v 2>&1 | sed 's/.*: //'), $("$venv/bin/gunicorn" --version | sed 's/[()]//g; s/ version//'); \
medians of $rounds rounds of $round_seconds s in turn; others kept the cores $busy % busy" \
        "$(wc -l <"$work/photos.nginx") files of $(calculate %.0f "$(cat "$work/www/photos/"* | wc -c) / 1000 / $(wc -l <"$work/photos.nginx")") KB on average" \
        "$(wc -l <"$work/small.nginx") files of 4 KB"
}

main "$@"
