#!/usr/bin/env bash
#
# Runs imagepool on disks that are full, read-only or not permitted, and checks what it says and what it keeps.
#
# The old service lost pictures on a full disk and reported success. Ordinary tests can't show that ours does not:
# they have no disk to fill and no second user. This check mounts small file systems in memory and fills them. What
# was reported as imported must be there afterwards, and every refusal must name the gallery and the reason.
#
# sled 0.34.7 itself hangs for ever on a full disk, and what it had flushed before can't be opened any more. So our
# sled engine stops while 64 MB are free, and that is what is checked of it; no byte more is filled.
#
# Needs root for mount and for another user's identity, and curl and util-linux (mount, setpriv).
#
#   scripts/check-disks.sh [BINARY]     (default: target/release/imagepool of this repository)

set -euo pipefail

readonly nobody=65534
readonly pictures=40
# The least time limit that no check needs on a slow machine; a hang is a failure.
readonly limit=120

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=${1:-$checkout/target/release/imagepool}
scratch=
disk=
server=
code=0
failures=0

step() { printf '\n== %s\n' "$*"; }
pass() { printf '   ok %s\n' "$*"; }

fail() {
    printf '   FAILED %s\n' "$*"
    failures=$((failures + 1))
}

die() {
    printf 'check-disks: %s\n' "$*" >&2
    exit 1
}

cleanup() {
    local status=$?
    trap - EXIT
    set +e
    stop_server
    if [[ -n $disk ]] && mountpoint --quiet "$disk"; then
        umount --lazy "$disk"
    fi
    if [[ -n $scratch ]]; then
        rm -rf --one-file-system "$scratch"
    fi
    exit "$status"
}

require() {
    local tool
    [[ $EUID -eq 0 ]] || die "must run as root: it mounts file systems and runs as another user"
    for tool in mount mountpoint setpriv curl timeout comm; do
        command -v "$tool" >/dev/null || die "$tool not found"
    done
    [[ -x $binary ]] || die "$binary: no such program; build it with: cargo build --release"
}

# A copy of the binary and of the samples lies where any user can read it; the checkout may not.
prepare() {
    scratch=$(mktemp -d)
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    chmod 755 "$scratch"
    disk=$scratch/disk
    mkdir "$disk" "$scratch/noise"
    install -m 755 "$binary" "$scratch/imagepool"
    cp -r "$checkout/samples" "$scratch/samples"
    chmod -R a+rX "$scratch/samples"
    make_noise
}

# Noise, which WebP can't make small: 24-bit bitmaps of 400 x 400 pixels, each about 100 KB as WebP.
make_noise() {
    local number name
    for ((number = 0; number < pictures; number++)); do
        name=$(printf '%s/noise/%02d.bmp' "$scratch" "$number")
        {
            printf 'BM\x36\x53\x07\0\0\0\0\0\x36\0\0\0'
            printf '\x28\0\0\0\x90\x01\0\0\x90\x01\0\0\x01\0\x18\0\0\0\0\0\0\x53\x07\0'
            printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
            head -c 480000 /dev/urandom
        } >"$name"
    done
}

mount_disk() { mount -t tmpfs -o "size=$1,mode=755" check-disks "$disk"; }

# Shuts the disk's door on writers. A process that has just ended may hold it open for a moment longer.
make_read_only() {
    local attempt
    for attempt in {1..20}; do
        mount -o remount,ro "$disk" 2>/dev/null && return
        sleep 0.1
    done
    die "the disk can't be made read-only (tried $attempt times)"
}

# Every byte of it.
fill_disk() {
    dd if=/dev/zero of="$disk/filling" bs=4096 oflag=append conv=notrunc status=none 2>/dev/null || true
}

# Runs a command; what it said is in out and err, its exit code in $code.
run() {
    code=0
    timeout --kill-after=5 "$limit" "$@" >"$scratch/out" 2>"$scratch/err" || code=$?
}

on() {
    local gallery=$1
    shift
    run "$scratch/imagepool" --gallery "$gallery" "$@"
}

on_as_nobody() {
    local gallery=$1
    shift
    run setpriv --reuid="$nobody" --regid="$nobody" --clear-groups "$scratch/imagepool" --gallery "$gallery" "$@"
}

said() { tr '\n' ' ' <"$scratch/err" | cut -c 1-300; }

works() {
    if [[ $code -eq 0 ]]; then
        pass "$1"
    else
        fail "$1: expected exit code 0, found $code: $(said)"
    fi
}

# It failed with exit code 1, and stderr holds each of these words.
refused() {
    local what=$1 words
    shift
    if [[ $code -ne 1 ]]; then
        fail "$what: expected exit code 1, found $code: $(said)"
        return
    fi
    for words in "$@"; do
        if ! grep --quiet --ignore-case --fixed-strings -- "$words" "$scratch/err"; then
            fail "$what: the error does not say '$words': $(said)"
            return
        fi
    done
    pass "$what: $(said)"
}

equal() {
    local what=$1 want=$2 got=$3
    if [[ $got == "$want" ]]; then
        pass "$what: $got"
    else
        fail "$what: expected '$want', found '$got'"
    fi
}

ids() { grep --only-matching --extended-regexp '"id":"[0-9a-f]{32}"' "$1" | sort --unique; }

imported() { { grep '"status":"imported"' "$1" || true; } >"$scratch/imported" && wc -l <"$scratch/imported"; }

# Whatever the report calls imported is in the gallery, and the gallery is whole.
keeps_its_word() {
    local gallery=$1 report=$2 what=$3 missing
    on "$gallery" verify --deep
    works "$what: verify --deep"
    on "$gallery" list --json
    works "$what: list"
    imported "$report" >/dev/null
    missing=$(comm -23 <(ids "$scratch/imported" || true) <(ids "$scratch/out" || true) | wc -l)
    equal "$what: reported as imported, but missing" 0 "$missing"
}

# --- (a) full ---------------------------------------------------------------------------------------------------------

check_full_disk() {
    step "full disk: an import that does not fit"
    local gallery=$disk/gallery.pool count
    mount_disk 3m
    # A batch lands whole or not at all, so some are imported while there is room for all of them.
    on "$gallery" import --report "$scratch/report-1" "$scratch"/noise/0?.bmp
    works "some that fit"
    on "$gallery" import --report "$scratch/report" "$scratch/noise"
    refused "the rest" "disk is full" "$gallery"
    keeps_its_word "$gallery" "$scratch/report-1" "what the first import reported"
    keeps_its_word "$gallery" "$scratch/report" "what the second one reported"
    count=$(ids "$scratch/out" | wc -l)
    if ((count >= 10 && count < pictures)); then
        pass "some are there, not all: $count of $pictures"
    else
        fail "expected some of $pictures pictures to be there, found $count"
    fi
    on "$gallery" import --report "$scratch/report-2" "$scratch/noise"
    refused "a third attempt" "disk is full" "$gallery"
    keeps_its_word "$gallery" "$scratch/report" "what it reported"
}

check_not_a_byte_left() {
    step "full disk: not a byte left"
    local gallery=$disk/gallery.pool command
    fill_disk
    for command in list stats verify "key list"; do
        # shellcheck disable=SC2086 # two words are two arguments
        on "$gallery" $command
        works "$command"
    done
    # The lock file holds no data; after a move or a restore it is made anew.
    rm -f "$gallery-lock"
    fill_disk
    for command in list stats verify; do
        on "$gallery" "$command"
        if [[ $code -eq 0 ]]; then
            pass "$command without a lock file"
        else
            refused "$command without a lock file" "disk is full" "$gallery"
        fi
    done
    on "$disk/another.pool" import "$scratch/noise/00.bmp"
    refused "import into a new gallery" "disk is full" "$disk/another.pool"
    rm -f "$disk"/another.pool*
}

check_copies_on_full_disk() {
    step "full disk: backup and export onto it"
    local source=$scratch/source.pool
    fill_disk
    on "$source" import "$scratch/samples"
    works "a gallery elsewhere"
    on "$source" backup "$disk/backup.pool"
    refused "backup" "disk is full" "$disk/backup.pool"
    on "$source" export --all "$disk/export"
    refused "export" "$disk/export"
    on "$source" import --report "$disk/report" "$scratch/noise/01.bmp"
    refused "import with its report there" "$disk/report"
    equal "half files left behind" "" "$(find "$disk" -name '*.partial*' -o -name '*.scratch*' -o -name 'backup.pool*')"
    keeps_its_word "$source" /dev/null "the gallery elsewhere"
    rm -rf "$disk/export" "$disk/report"
}

check_more_space() {
    step "full disk: with more space"
    local gallery=$disk/gallery.pool
    rm -f "$disk/filling"
    mount -o remount,size=64m "$disk"
    on "$gallery" import --report "$scratch/report-3" "$scratch/noise"
    works "the same import"
    keeps_its_word "$gallery" "$scratch/report" "what the first one reported"
    keeps_its_word "$gallery" "$scratch/report-3" "what this one reported"
    equal "images" "$pictures" "$(ids "$scratch/out" | wc -l)"
    umount "$disk"
}

check_full_disk_sled() {
    step "full disk, sled"
    local gallery=sled:$disk/gallery.sled
    mount_disk 69m
    on "$gallery" import --jobs 1 --report "$scratch/report-sled" "$scratch/noise"
    refused "import" "disk is full" "$disk/gallery.sled"
    pass "imported before that: $(imported "$scratch/report-sled")"
    keeps_its_word "$gallery" "$scratch/report-sled" "after it"
    mount -o remount,size=256m "$disk"
    on "$gallery" import --report "$scratch/report-sled-2" "$scratch/noise"
    works "the same import with more space"
    keeps_its_word "$gallery" "$scratch/report-sled" "what the first one reported"
    equal "images" "$pictures" "$(ids "$scratch/out" | wc -l)"
    umount "$disk"
}

# --- (b) read-only ----------------------------------------------------------------------------------------------------

start_server() {
    "$scratch/imagepool" --gallery "$1" serve --listen 127.0.0.1:0 >"$scratch/served" 2>"$scratch/err" &
    server=$!
    address=
    local attempt
    for attempt in {1..100}; do
        address=$(grep --only-matching 'listening on http://[0-9.:]*' "$scratch/err" | cut -d / -f 3) && break
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    [[ -n $address ]] || fail "serve does not listen (looked $attempt times): $(said)"
}

stop_server() {
    [[ -n $server ]] || return 0
    kill -TERM "$server" 2>/dev/null || true
    code=0
    wait "$server" || code=$?
    server=
}

status_of() { curl --silent --noproxy '*' --max-time 10 --output /dev/null --write-out '%{http_code}' "$1" || true; }

check_serving_read_only() {
    local gallery=$1 key=$2
    start_server "$gallery"
    equal "serve: a random image" 200 "$(status_of "http://$address/random-image/$key")"
    equal "serve: another key" 401 "$(status_of "http://$address/random-image/${key//[0-9]/a}")"
    equal "serve: update-images" 200 "$(status_of "http://$address/update-images/$key")"
    equal "serve: healthz" 200 "$(status_of "http://$address/healthz")"
    stop_server
    works "serve stops on SIGTERM"
}

check_read_only() {
    step "read-only disk"
    local gallery=$disk/gallery.pool key id before command
    mount_disk 16m
    on "$gallery" import "$scratch/samples"
    works "a gallery, while it is writable"
    on "$gallery" key rotate
    key=$(<"$scratch/out")
    on "$gallery" list --json
    id=$(ids "$scratch/out" | head -n 1 | cut -d '"' -f 4)
    before=$(sha256sum <"$gallery")
    make_read_only
    for command in list verify stats "key list" "show $id" "export --all $scratch/exported" \
        "backup $scratch/copy.pool" "import --dry-run $scratch/samples"; do
        # shellcheck disable=SC2086 # words are arguments
        on "$gallery" $command
        works "${command%% /*}"
    done
    for command in "import $scratch/noise" "key rotate" "key add --name other" "key revoke ${key:0:16}" \
        "remove $id" "tag $id +new" "serve --import $scratch/noise"; do
        # shellcheck disable=SC2086
        on "$gallery" $command
        refused "${command%% /*}" "read-only" "$gallery"
    done
    check_serving_read_only "$gallery" "$key"
    equal "the gallery is unchanged" "$before" "$(sha256sum <"$gallery")"
    umount "$disk"
    on "$scratch/copy.pool" verify --deep
    works "the backup verifies"
}

check_read_only_without_key() {
    step "read-only disk, a gallery without a key"
    local gallery=$disk/gallery.pool
    mount_disk 16m
    on "$gallery" import "$scratch/samples"
    make_read_only
    on "$gallery" serve --listen 127.0.0.1:0
    refused "serve" "read-only" "key" "$gallery"
    on "$disk/none.pool" serve --listen 127.0.0.1:0
    refused "serve where there is no gallery" "read-only" "$disk/none.pool"
    on "$disk/none.pool" import "$scratch/samples"
    refused "import where there is no gallery" "read-only" "$disk/none.pool"
    umount "$disk"
}

# sled writes when it opens, so on a read-only disk it can only refuse.
check_read_only_sled() {
    step "read-only disk, sled"
    local gallery=sled:$disk/gallery.sled command
    mount_disk 256m
    on "$gallery" import "$scratch/samples"
    works "a gallery, while it is writable"
    make_read_only
    for command in list "import $scratch/noise" "key rotate"; do
        # shellcheck disable=SC2086
        on "$gallery" $command
        refused "$command" "read-only" "$gallery"
    done
    mount -o remount,rw "$disk"
    on "$gallery" verify --deep
    works "verify --deep, writable again"
    umount "$disk"
}

# --- (c) no permission ------------------------------------------------------------------------------------------------

check_permissions() {
    step "another user's gallery"
    local gallery=$disk/gallery.pool before command
    mount_disk 16m
    on "$gallery" import "$scratch/samples"
    equal "the gallery's mode" 600 "$(stat --format %a "$gallery")"
    before=$(sha256sum <"$gallery")
    for command in list stats verify serve "key rotate" "import $scratch/noise"; do
        # shellcheck disable=SC2086
        on_as_nobody "$gallery" $command
        refused "$command" "permission" "$gallery"
    done
    on_as_nobody "$disk/new.pool" import "$scratch/samples"
    refused "import into a folder of another user" "permission" "$disk/new.pool"
    on_as_nobody "sled:$disk/new.sled" import "$scratch/samples"
    refused "import into a folder of another user, sled" "permission" "$disk/new.sled"
    equal "the gallery is unchanged" "$before" "$(sha256sum <"$gallery")"
    umount "$disk"
}

check_unreadable_source() {
    step "a picture of another user"
    local gallery=$disk/mine/gallery.pool
    mount_disk 16m
    install -d -o "$nobody" -g "$nobody" "$disk/mine"
    cp -r "$scratch/samples" "$disk/pictures"
    chmod 600 "$disk/pictures/landscape/night-city.jpg"
    on_as_nobody "$gallery" import --json "$disk/pictures"
    refused "import" "permission" "$disk/pictures/landscape/night-city.jpg"
    equal "failed" '"failed":1' "$(grep --only-matching '"failed":[0-9]*' "$scratch/out")"
    chmod 644 "$disk/pictures/landscape/night-city.jpg"
    on_as_nobody "$gallery" import --json "$disk/pictures"
    works "import once it is readable"
    equal "imported" '"imported":1' "$(grep --only-matching '"imported":[0-9]*' "$scratch/out")"
    umount "$disk"
}

main() {
    require
    prepare
    check_full_disk
    check_not_a_byte_left
    check_copies_on_full_disk
    check_more_space
    check_full_disk_sled
    check_read_only
    check_read_only_without_key
    check_read_only_sled
    check_permissions
    check_unreadable_source
    step "result"
    ((failures == 0)) || die "$failures checks failed"
    pass "all checks"
}

main
