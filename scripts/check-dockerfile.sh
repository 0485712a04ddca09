#!/usr/bin/env bash
#
# Builds the Dockerfile for real and runs what comes out, without Docker and without a registry.
#
# A Dockerfile that nobody builds rots: a stage stops compiling, /data loses its owner, SIGTERM stops
# at a shell. This check needs no daemon: buildah carries out the Dockerfile, on stand-ins for the two
# official base images made here (debootstrap, and the local Rust toolchain), and the result runs as
# process 1 of its own pid, mount and network namespaces, as its own user.
#
# Needs root, rustc from rustup, and the Debian packages buildah, debootstrap, curl and iproute2 (elsewhere
# also debian-archive-keyring): sudo env HOME="$HOME" PATH="$PATH" scripts/check-dockerfile.sh
# Base images and downloaded crates are kept for the next run; remove the directory to start afresh.
#
#   IMAGEPOOL_DOCKERFILE_CHECK  that directory (default: ${TMPDIR:-/tmp}/imagepool-dockerfile-check)
#   DEBIAN_MIRROR               the mirror for debootstrap and apt (default: debootstrap's own)
#   STORAGE_DRIVER              buildah's storage driver (default: overlay where it works, else vfs)
#   SSL_CERT_FILE               certificates that cargo trusts during the build
#   http_proxy, https_proxy, no_proxy (also in capitals) reach the build

set -euo pipefail

readonly debian_image=docker.io/library/debian:bookworm-slim
readonly rust_image=docker.io/library/rust:1.95-slim-bookworm
readonly rust_version=1.95
readonly image=localhost/imagepool-dockerfile-check
readonly system_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# TEST-NET-1 (RFC 5737), on the container's loopback: it answers only if the server left 127.0.0.1.
readonly address=192.0.2.1

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
store=${IMAGEPOOL_DOCKERFILE_CHECK:-${TMPDIR:-/tmp}/imagepool-dockerfile-check}
toolchain=
scratch=
driver=
container=
server=
failures=0

step() { printf '\n== %s\n' "$*"; }
note() { printf '   -- %s\n' "$*"; }
pass() { printf '   ok %s\n' "$*"; }

fail() {
    printf '   FAILED %s\n' "$*"
    failures=$((failures + 1))
}

die() {
    printf 'check-dockerfile: %s\n' "$*" >&2
    exit 1
}

expect() {
    local what=$1 want=$2 got=$3
    if [[ $got == "$want" ]]; then
        pass "$what: $got"
    else
        fail "$what: expected '$want', found '$got'"
    fi
}

b() {
    buildah --root "$store/$driver" --runroot "$scratch/run" --storage-driver "$driver" "$@"
}

# By its own id: a process that changed its user is no longer covered by unshare's --kill-child.
stop_container() {
    if [[ -n $server ]]; then
        kill -KILL "$server"
    fi
    if [[ -n $container ]]; then
        kill -KILL "$container"
        wait "$container"
    fi
} 2>/dev/null

cleanup() {
    local status=$?
    trap - EXIT
    set +e
    stop_container
    if [[ -n $driver ]]; then
        b umount --all
        b rm --all
        b rmi --force "$image"
        b rmi --prune
    fi >/dev/null 2>&1
    rm -rf --one-file-system "$scratch"
    exit "$status"
}

require() {
    local tool
    [[ $EUID -eq 0 ]] || die "must run as root: debootstrap and chroot need it"
    for tool in buildah debootstrap curl ip rustc unshare nsenter; do
        command -v "$tool" >/dev/null ||
            die "$tool not found; needed: rustc, and the Debian packages buildah, debootstrap, curl, iproute2"
    done
    [[ $(rustc --version) == "rustc $rust_version."* ]] ||
        die "the stand-in for $rust_image needs Rust $rust_version; try RUSTUP_TOOLCHAIN=$rust_version"
    toolchain=$(rustc --print sysroot)
    [[ $toolchain != /usr && -x $toolchain/bin/cargo ]] ||
        die "$toolchain is no toolchain that could be copied whole, as rustup's are"
}

prepare() {
    mkdir -p "$store/cargo-registry"
    exec 9>"$store/lock"
    flock --nonblock 9 || die "another run is using $store"
    scratch=$(mktemp -d)
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    # Short names must resolve to the stand-ins, whatever this machine has configured.
    printf 'unqualified-search-registries = ["docker.io"]\n' >"$scratch/registries.conf"
    export CONTAINERS_REGISTRIES_CONF=$scratch/registries.conf
    pick_driver
}

pick_driver() {
    local probe
    driver=${STORAGE_DRIVER:-overlay}
    if ! probe=$(b from scratch 2>/dev/null) || ! b mount "$probe" >/dev/null 2>&1; then
        [[ -z ${STORAGE_DRIVER:-} ]] || die "the storage driver $driver does not work here"
        driver=vfs
    fi
    b rm --all >/dev/null
    note "storage driver: $driver, in $store"
}

# Like the official slim image: no package lists, and no documentation but copyright files.
slim() {
    local root=$1
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
    rm -rf "$root"/usr/share/{man,info,locale}/*
    find "$root/usr/share/doc" ! -type d ! -name copyright -delete
    find "$root/usr/share/doc" -type d -empty -delete
}

make_debian() {
    step "stand-in for $debian_image"
    if b inspect --type image "$debian_image" >/dev/null 2>&1; then
        note "kept from an earlier run"
        return
    fi
    local root=$scratch/debian working
    debootstrap --variant=minbase bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$scratch/log" 2>&1 ||
        { tail -n 20 "$scratch/log" && die "debootstrap failed"; }
    slim "$root"
    working=$(b from scratch)
    b add --quiet "$working" "$root" / >/dev/null
    b config --env PATH="$system_path" --cmd bash "$working"
    b commit --quiet --rm --format docker "$working" "$debian_image" >/dev/null
    rm -rf "$root"
    pass "made with debootstrap"
}

make_rust() {
    step "stand-in for $rust_image"
    local version working root setting options=()
    version=$(rustc --version --verbose | sha256sum | cut -c 1-16)
    if [[ $(b inspect --type image --format '{{index .Docker.Config.Labels "toolchain"}}' \
        "$rust_image" 2>/dev/null) == "$version" ]]; then
        note "kept from an earlier run"
        return
    fi
    while read -r setting; do
        options+=(--env "$setting")
    done < <(proxies)
    working=$(b from --pull-never "$debian_image")
    b run --isolation chroot "${options[@]}" "$working" -- sh -ec '
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends ca-certificates gcc libc6-dev
    ' >"$scratch/log" 2>&1 || { tail -n 20 "$scratch/log" && die "installing gcc failed"; }
    root=$(b mount "$working")
    slim "$root"
    tar --create --directory "$toolchain" --exclude=share . |
        tar --extract --no-same-owner --directory "$root/usr/local"
    b config --env CARGO_HOME=/usr/local/cargo --label toolchain="$version" "$working"
    b commit --quiet --rm --format docker "$working" "$rust_image" >/dev/null
    pass "$(rustc --version)"
}

# Prints NAME=VALUE of each proxy setting, for the steps that download.
proxies() {
    local name
    for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY; do
        [[ -z ${!name:-} ]] || printf '%s=%s\n' "$name" "${!name}"
    done
}

build_image() {
    step "buildah bud"
    local setting started=$SECONDS options=(--volume "$store/cargo-registry:/usr/local/cargo/registry")
    if [[ -n ${SSL_CERT_FILE:-} ]]; then
        options+=(--volume "$SSL_CERT_FILE:/etc/ssl/certs/ca-certificates.crt:ro")
    fi
    while read -r setting; do
        options+=(--build-arg "$setting")
    done < <(proxies)
    # Only Docker's format has a place for HEALTHCHECK.
    b bud --isolation chroot --network host --pull-never --format docker --tag "$image" \
        "${options[@]}" --file "$checkout/Dockerfile" "$checkout"
    pass "built in $((SECONDS - started)) s"
}

config() { b inspect --type image --format "$1" "$image"; }

list() { config "{{range $1}}{{println .}}{{end}}"; }

check_config() {
    step "image configuration"
    local label='{{index .Docker.Config.Labels "org.opencontainers.image.%s"}}'
    expect user 10001:10001 "$(config '{{.Docker.Config.User}}')"
    expect volume 'map[/data:{}]' "$(config '{{.Docker.Config.Volumes}}')"
    expect port 'map[5000/tcp:{}]' "$(config '{{.Docker.Config.ExposedPorts}}')"
    expect 'working directory' /data "$(config '{{.Docker.Config.WorkingDir}}')"
    expect entrypoint '[imagepool]' "$(config '{{.Docker.Config.Entrypoint}}')"
    expect command '[serve]' "$(config '{{.Docker.Config.Cmd}}')"
    expect 'stop signal' SIGTERM "$(config '{{.Docker.Config.StopSignal}}')"
    expect healthcheck '[CMD imagepool health]' "$(config '{{.Docker.Config.Healthcheck.Test}}')"
    expect gallery IMAGEPOOL_GALLERY=/data/gallery.pool "$(list .Docker.Config.Env | grep ^IMAGEPOOL_GALLERY=)"
    expect listen IMAGEPOOL_LISTEN=0.0.0.0:5000 "$(list .Docker.Config.Env | grep ^IMAGEPOOL_LISTEN=)"
    # shellcheck disable=SC2059 # the format is the point
    expect title imagepool "$(config "$(printf "$label" title)")"
    # shellcheck disable=SC2059
    expect licences 'MIT OR Apache-2.0' "$(config "$(printf "$label" licenses)")"
}

# Without empty files: buildah leaves them where it mounted something during a build.
files() { (cd "$1" && find . -xdev ! -type d ! -empty | LC_ALL=C sort); }

megabytes() { du --summarize --block-size=1M "$1" | cut -f 1; }

check_contents() {
    step "image contents"
    local root=$1 base extra want
    want=./usr/local/bin/imagepool$(cd "$checkout" && printf ' ./usr/share/doc/imagepool/%s' LICENSE-*)
    base=$(b mount "$(b from --pull-never "$debian_image")")
    extra=$(comm -13 <(files "$base") <(files "$root") | grep -v '^\./etc/' | paste --serial --delimiters=' ')
    expect 'files added outside /etc' "$want" "$extra"
    expect 'owner of /data' 10001:10001 "$(stat --format %u:%g "$root/data")"
    note "$(megabytes "$root") MB in all, of which the stand-in for Debian $(megabytes "$base") MB" \
        "and the binary $(megabytes "$root/usr/local/bin/imagepool") MB"
}

# Runs in fresh namespaces and gives way to the image's own program, which is then process 1 as under Docker.
become_container() {
    local root=$1 volume=$2 pictures=$3 user=$4
    shift 4
    ip link set lo up
    ip address add "$address/32" dev lo
    mkdir -p "$root"/{proc,dev,pictures}
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$volume" "$root/data"
    mount --bind --options ro "$pictures" "$root/pictures"
    exec chroot --userspec="$user" --groups= "$root" env --ignore-environment --chdir=/data "$@"
}

start_container() {
    local root=$1 user program=()
    shift
    user=$(config '{{.Docker.Config.User}}')
    mapfile -t program < <(list .Docker.Config.Entrypoint)
    export -f become_container
    export address
    unshare --mount --pid --net --fork --kill-child bash -euc 'become_container "$@"' - \
        "$root" "$scratch/volume" "$scratch/pictures" "$user" \
        "${environment[@]}" "${program[@]}" "$@" >"$scratch/out" 2>"$scratch/err" 9>&- &
    container=$!
    server=
    # unshare's one child; it stays the same process when the image's program takes over.
    until [[ -n $server ]]; do
        kill -0 "$container" 2>/dev/null || die "the container did not start: $(cat "$scratch/err")"
        # The file has no newline, so read fails even when it has read something.
        read -r server _ <"/proc/$container/task/$container/children" || sleep 0.1
    done
}

# As the image's user, in the running container's namespaces.
inside() {
    nsenter --target "$server" --mount --pid --net --root --setuid 10001 --setgid 10001 \
        env --ignore-environment "${environment[@]}" "$@"
}

# Tries a command until it succeeds, for 20 seconds.
eventually() {
    local attempt
    for ((attempt = 0; attempt < 100; attempt++)); do
        [[ -e /proc/$server ]] || return 1
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.2
    done
    return 1
}

check_health() {
    local probe=()
    mapfile -t probe < <(list .Docker.Config.Healthcheck.Test)
    if eventually inside "${probe[@]:1}"; then
        pass "healthcheck succeeds inside: ${probe[*]:1}"
    else
        fail "healthcheck never succeeded"
    fi
    expect 'process 1' imagepool "$(inside cat /proc/1/comm)"
    expect 'its user' 10001 "$(inside stat --format %u /proc/1)"
}

fetch() {
    nsenter --target "$server" --net curl --noproxy '*' --silent --fail --max-time 5 \
        --output "$scratch/picture" --write-out '%{http_code} %{content_type}\n' "$1"
}

check_picture() {
    local path=$1
    if eventually fetch "http://$address:5000$path"; then
        expect 'random image' '200 image/webp' "$(fetch "http://$address:5000$path")"
        expect 'its first bytes' RIFF "$(head --bytes=4 "$scratch/picture")"
    else
        fail "no random image from port 5000"
    fi
}

# Docker kills after 10 seconds, so an idle server has to be gone by then.
check_stop() {
    local status=0 attempt
    kill -TERM "$server" || fail "nothing left to stop"
    for ((attempt = 0; attempt < 100; attempt++)); do
        [[ -e /proc/$server ]] || break
        sleep 0.1
    done
    if [[ -e /proc/$server ]]; then
        fail "SIGTERM: still running after 10 s"
        kill -KILL "$server"
    fi
    wait "$container" || status=$?
    container=
    server=
    expect 'exit status after SIGTERM' 0 "$status"
}

check_running() {
    local root=$1 path environment=() command=()
    mapfile -t environment < <(list .Docker.Config.Env)
    mapfile -t command < <(list .Docker.Config.Cmd)
    mkdir "$scratch/pictures"
    cp "$checkout"/samples/*/*.jpg "$scratch/pictures"
    # What Docker makes of an empty named volume.
    cp --archive "$root/data" "$scratch/volume"

    step "container: serve --import /pictures, on an empty volume"
    start_container "$root" serve --import /pictures
    check_health
    path=$(grep --only-matching --extended-regexp '/random-image/[0-9a-f]{64}' "$scratch/out") || true
    if [[ -n $path ]]; then
        pass "the first start prints an address with a key"
    else
        fail "the first start printed no address with a key"
    fi
    check_picture "$path"
    check_stop

    step "container: ${command[*]}, on the same volume"
    start_container "$root" "${command[@]}"
    check_health
    check_picture "$path"
    check_stop
}

main() {
    local root
    require
    prepare
    make_debian
    make_rust
    build_image
    check_config
    root=$(b mount "$(b from --pull-never "$image")")
    check_contents "$root"
    check_running "$root"
    printf '\n'
    if ((failures > 0)); then
        tail -n 20 "$scratch/err" >&2
        die "$failures checks failed"
    fi
    echo "All checks passed."
}

main "$@"
