#!/usr/bin/env bash
# Runs imagepool on disks that are full, read-only or not permitted, and checks what it says and
# what it keeps.
#
# The old service lost pictures on a full disk and reported success. Ordinary tests can't show that
# ours does not: they have no disk to fill and no second user. This check mounts small file systems
# in memory and fills them. What was reported as imported must be there afterwards, and every
# refusal must name the gallery and the reason.
#
# sled 0.34.7 itself hangs for ever on a full disk, and what it had flushed before can't be opened
# any more. So our sled engine stops while 64 MB are free, and that is what is checked of it; no
# byte more is filled.
#
# Needs root for mount and for another user's identity, and curl and util-linux (mount, setpriv).
#
#   scripts/check-disks.sh [BINARY]     (default: target/release/imagepool of this repository)
set -euo pipefail

readonly nobody=65534 pictures=40
# The least time limit that no check needs on a slow machine; a hang is a failure.
readonly limit_seconds=120

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
disk=$scratch/disk
gallery=$disk/gallery.pool # what the commands below are run on
user=()                    # a prefix that runs them as another user
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
    stop_server
    umount --lazy "$disk" 2>/dev/null || true
    rm -rf --one-file-system "$scratch"
}

# A copy of the binary and of the samples lies where any user can read it; the checkout may not.
prepare() {
    local tool
    trap cleanup EXIT
    [[ $EUID -eq 0 ]] || die "must run as root: it mounts file systems and runs as another user"
    for tool in mount setpriv curl timeout comm; do
        command -v "$tool" >/dev/null || die "$tool not found"
    done
    [[ -x $1 ]] || die "$1: no such program; build it with: cargo build --release"
    chmod 755 "$scratch"
    mkdir "$disk" "$scratch/noise"
    install -m 755 "$1" "$scratch/imagepool"
    cp -r "$checkout/samples" "$scratch/samples"
    chmod -R a+rX "$scratch/samples"
    make_noise
}

# Noise, which WebP can't make small: bitmaps of 400 x 400 pixels, each about 100 KB as WebP.
make_noise() {
    local number
    for ((number = 10; number < 10 + pictures; number++)); do
        printf 'P6 400 400 255\n' >"$scratch/noise/$number.ppm"
        head -c 480000 /dev/urandom >>"$scratch/noise/$number.ppm"
    done
}

mount_disk() { mount -t tmpfs -o "size=$1,mode=755" check-disks "$disk"; }

# Shuts the disk's door on writers. A process that has just ended may hold it open a moment longer.
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
    dd if=/dev/zero of="$disk/filling" bs=4096 oflag=append conv=notrunc status=none 2>/dev/null ||
        true
}

# Runs imagepool; what it said is in out and err, its exit code in $code.
run() {
    code=0
    "${user[@]}" timeout --kill-after=5 "$limit_seconds" "$scratch/imagepool" \
        --gallery "$gallery" "$@" >"$scratch/out" 2>"$scratch/err" || code=$?
}

said() { tr '\n' ' ' <"$scratch/err" | cut -c 1-300; }

# Passes or fails by a status: judge STATUS PASSED FAILED
judge() { if [[ $1 -eq 0 ]]; then pass "$2"; else fail "$3"; fi; }

# Runs a command, which must succeed: works WHAT COMMAND...
works() {
    run "${@:2}"
    judge "$code" "$1" "$1: expected exit code 0, found $code: $(said)"
}

# Runs a command, which must fail with exit code 1 and name the gallery and a reason on stderr:
# refused WHAT REASON COMMAND...
refused() {
    run "${@:3}"
    names_reason "$1" "$2" "${gallery#sled:}"
}

names_reason() {
    local words missing=0
    for words in "${@:2}"; do
        grep --quiet --ignore-case --fixed-strings -- "$words" "$scratch/err" || missing=1
    done
    judge "$((code != 1 || missing))" "$1: $(said)" \
        "$1: expected exit code 1 and $(printf "'%s' " "${@:2}"), found $code: $(said)"
}

equal() { judge "$([[ $3 == "$2" ]]; echo $?)" "$1: $3" "$1: expected '$2', found '$3'"; }

ids() { grep --only-matching --extended-regexp '"id":"[0-9a-f]{32}"' "$@" | sort --unique; }

# Whatever the report calls imported is in the gallery, and the gallery is whole: REPORT WHAT
keeps_its_word() {
    works "$2: verify --deep" verify --deep
    works "$2: list" list --json
    equal "$2: reported as imported, but missing" 0 "$(comm -23 \
        <(grep '"status":"imported"' "$1" | ids || true) <(ids "$scratch/out" || true) | wc -l)"
}

# --- full -----------------------------------------------------------------------------------------

check_full_disk() {
    step "full disk: an import that does not fit"
    local count
    mount_disk 3m
    # A batch lands whole or not at all, so some are imported while there is room for all of them.
    works "some that fit" import --report "$scratch/report-1" "$scratch"/noise/1?.ppm
    refused "the rest" "disk is full" import --report "$scratch/report" "$scratch/noise"
    keeps_its_word "$scratch/report-1" "what the first import reported"
    keeps_its_word "$scratch/report" "what the second one reported"
    count=$(ids "$scratch/out" | wc -l)
    judge "$((count < 10 || count >= pictures))" "some are there, not all: $count of $pictures" \
        "expected some of $pictures pictures to be there, found $count"
    refused "a third attempt" "disk is full" import --report "$scratch/report-2" "$scratch/noise"
    keeps_its_word "$scratch/report" "what it reported"
}

check_not_a_byte_left() {
    step "full disk: not a byte left"
    local command gallery=$gallery
    fill_disk
    for command in list stats verify "key list"; do
        # shellcheck disable=SC2086 # two words are two arguments
        works "$command" $command
    done
    # The lock file holds no data; after a move or a restore it is made anew.
    rm -f "$gallery-lock"
    fill_disk
    for command in list stats verify; do
        run "$command"
        if [[ $code -eq 0 ]]; then
            pass "$command without a lock file"
        else
            names_reason "$command without a lock file" "disk is full" "$gallery"
        fi
    done
    gallery=$disk/another.pool
    refused "import into a new gallery" "disk is full" import "$scratch/noise/10.ppm"
    rm -f "$disk"/another.pool*
}

check_copies_on_full_disk() {
    step "full disk: backup and export onto it"
    local gallery=$scratch/source.pool left
    fill_disk
    works "a gallery elsewhere" import "$scratch/samples"
    run backup "$disk/backup.pool"
    names_reason "backup" "disk is full" "$disk/backup.pool"
    run export --all "$disk/export"
    names_reason "export" "$disk/export"
    run import --report "$disk/report" "$scratch/noise/11.ppm"
    names_reason "import with its report there" "$disk/report"
    left=$(find "$disk" -name '*.partial*' -o -name '*.scratch*' -o -name 'backup.pool*')
    equal "half files left behind" "" "$left"
    keeps_its_word /dev/null "the gallery elsewhere"
    rm -rf "$disk/export" "$disk/report"
}

check_more_space() {
    step "full disk: with more space"
    rm -f "$disk/filling"
    mount -o remount,size=64m "$disk"
    works "the same import" import --report "$scratch/report-3" "$scratch/noise"
    keeps_its_word "$scratch/report" "what the first one reported"
    keeps_its_word "$scratch/report-3" "what this one reported"
    equal "images" "$pictures" "$(ids "$scratch/out" | wc -l)"
    umount "$disk"
}

check_full_disk_sled() {
    step "full disk, sled"
    local gallery=sled:$disk/gallery.sled report=$scratch/report-sled
    mount_disk 69m
    refused "import" "disk is full" import --jobs 1 --report "$report" "$scratch/noise"
    pass "imported before that: $(grep --count '"status":"imported"' "$report")"
    keeps_its_word "$report" "after it"
    mount -o remount,size=256m "$disk"
    works "the same import with more space" import "$scratch/noise"
    keeps_its_word "$report" "what the first one reported"
    equal "images" "$pictures" "$(ids "$scratch/out" | wc -l)"
    umount "$disk"
}

# --- read-only ------------------------------------------------------------------------------------

start_server() {
    local attempt
    "$scratch/imagepool" --gallery "$gallery" serve --listen 127.0.0.1:0 >/dev/null \
        2>"$scratch/err" &
    server=$!
    for attempt in {1..100}; do
        address=$(sed -nE 's#.*listening on (http://[0-9.:]+).*#\1#p' "$scratch/err")
        [[ -z $address ]] || return 0
        sleep 0.1
    done
    fail "serve does not listen (looked $attempt times): $(said)"
}

stop_server() {
    [[ -n $server ]] || return 0
    code=0
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" || code=$?
    server=
}

status_of() {
    curl --silent --noproxy '*' --max-time 10 --output /dev/null --write-out '%{http_code}' "$1" ||
        true
}

check_serving_read_only() {
    local key=$1
    start_server
    equal "serve: a random image" 200 "$(status_of "$address/random-image/$key")"
    equal "serve: another key" 401 "$(status_of "$address/random-image/${key//[0-9]/a}")"
    equal "serve: update-images" 200 "$(status_of "$address/update-images/$key")"
    equal "serve: healthz" 200 "$(status_of "$address/healthz")"
    stop_server
    equal "serve stops on SIGTERM" 0 "$code"
}

check_read_only() {
    step "read-only disk"
    local key id before command
    mount_disk 16m
    works "a gallery, while it is writable" import "$scratch/samples"
    run key rotate
    key=$(<"$scratch/out")
    run list --json
    id=$(ids "$scratch/out" | head -n 1 | cut -d '"' -f 4)
    before=$(sha256sum <"$gallery")
    make_read_only
    for command in list verify stats "key list" "show $id" "export --all $scratch/exported" \
        "backup $scratch/copy.pool" "import --dry-run $scratch/samples"; do
        # shellcheck disable=SC2086 # words are arguments
        works "${command%% /*}" $command
    done
    for command in "import $scratch/noise" "key rotate" "key add --name other" \
        "key revoke ${key:0:16}" "remove $id" "tag $id +new" "serve --import $scratch/noise"; do
        # shellcheck disable=SC2086
        refused "${command%% /*}" "read-only" $command
    done
    check_serving_read_only "$key"
    equal "the gallery is unchanged" "$before" "$(sha256sum <"$gallery")"
    umount "$disk"
    gallery=$scratch/copy.pool works "the backup verifies" verify --deep
}

check_read_only_without_key() {
    step "read-only disk, a gallery without a key"
    local gallery=$gallery
    mount_disk 16m
    run import "$scratch/samples"
    make_read_only
    refused "serve" "read-only" serve --listen 127.0.0.1:0
    names_reason "serve" "key"
    gallery=$disk/none.pool
    refused "serve where there is no gallery" "read-only" serve --listen 127.0.0.1:0
    refused "import where there is no gallery" "read-only" import "$scratch/samples"
    umount "$disk"
}

# sled writes when it opens, so on a read-only disk it can only refuse.
check_read_only_sled() {
    step "read-only disk, sled"
    local gallery=sled:$disk/gallery.sled command
    mount_disk 256m
    works "a gallery, while it is writable" import "$scratch/samples"
    make_read_only
    for command in list "import $scratch/noise" "key rotate"; do
        # shellcheck disable=SC2086
        refused "$command" "read-only" $command
    done
    mount -o remount,rw "$disk"
    works "verify --deep, writable again" verify --deep
    umount "$disk"
}

# --- no permission --------------------------------------------------------------------------------

check_permissions() {
    step "another user's gallery"
    local gallery=$gallery user=() before command
    mount_disk 16m
    run import "$scratch/samples"
    equal "the gallery's mode" 600 "$(stat --format %a "$gallery")"
    before=$(sha256sum <"$gallery")
    user=(setpriv "--reuid=$nobody" "--regid=$nobody" --clear-groups)
    for command in list stats verify serve "key rotate" "import $scratch/noise"; do
        # shellcheck disable=SC2086
        refused "$command" "permission" $command
    done
    for gallery in "$disk/new.pool" "sled:$disk/new.sled"; do
        refused "import into a folder of another user" "permission" import "$scratch/samples"
    done
    equal "the gallery is unchanged" "$before" "$(sha256sum <"$disk/gallery.pool")"
    umount "$disk"
}

check_unreadable_source() {
    step "a picture of another user"
    local gallery=$disk/mine/gallery.pool user=() picture=$disk/pictures/landscape/night-city.jpg
    mount_disk 16m
    install -d -o "$nobody" -g "$nobody" "$disk/mine"
    cp -r "$scratch/samples" "$disk/pictures"
    chmod 600 "$picture"
    user=(setpriv "--reuid=$nobody" "--regid=$nobody" --clear-groups)
    run import --json "$disk/pictures"
    names_reason "import" "permission" "$picture"
    equal "failed" '"failed":1' "$(grep --only-matching '"failed":[0-9]*' "$scratch/out")"
    chmod 644 "$picture"
    works "import once it is readable" import --json "$disk/pictures"
    equal "imported" '"imported":1' "$(grep --only-matching '"imported":[0-9]*' "$scratch/out")"
    umount "$disk"
}

prepare "${1:-$checkout/target/release/imagepool}"
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
