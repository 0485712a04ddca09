#!/usr/bin/env bash
# Builds the Dockerfile for real and runs what comes out, without Docker and without a registry.
#
# A Dockerfile that nobody builds rots: a stage stops compiling, /data loses its owner, SIGTERM
# stops at a shell. buildah carries out the Dockerfile, on stand-ins for the two official base
# images made here (debootstrap, and the local Rust toolchain), and the result runs as process 1 of
# its own pid, mount and network namespaces, as its own user.
#
# Needs root, rustc from rustup, and the Debian packages buildah, debootstrap, curl and iproute2:
# sudo env HOME="$HOME" PATH="$PATH" scripts/check-dockerfile.sh
#
#   IMAGEPOOL_DOCKERFILE_CHECK  where base images and crates are kept for the next run
#                               (default: ${TMPDIR:-/tmp}/imagepool-dockerfile-check)
#   DEBIAN_MIRROR               the mirror for debootstrap (default: debootstrap's own)
#   STORAGE_DRIVER              buildah's storage driver (default: vfs, which works everywhere)
#   SSL_CERT_FILE               certificates that cargo trusts during the build
#   http_proxy, https_proxy, no_proxy (also in capitals) reach the build
set -euo pipefail

readonly debian_image=docker.io/library/debian:bookworm-slim
readonly rust_image=docker.io/library/rust:1.95-slim-bookworm
readonly image=localhost/imagepool-dockerfile-check
# TEST-NET-1 (RFC 5737), on the container's loopback: it answers only if the server left 127.0.0.1.
export address=192.0.2.1

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
store=${IMAGEPOOL_DOCKERFILE_CHECK:-${TMPDIR:-/tmp}/imagepool-dockerfile-check}
scratch=$(mktemp -d)
container= server= path= failures=0

step() { printf '\n== %s\n' "$*"; }

die() {
    printf 'check-dockerfile: %s\n' "$*" >&2
    exit 1
}

expect() {
    if [[ $3 == "$2" ]]; then
        printf '   ok %s: %s\n' "$1" "$3"
    else
        printf "   FAILED %s: expected '%s', found '%s'\n" "$@"
        failures=$((failures + 1))
    fi
}

b() {
    buildah --root "$store/images" --runroot "$scratch/run" \
        --storage-driver "${STORAGE_DRIVER:-vfs}" "$@"
}

config() { b inspect --type image --format "{{$1}}" "$image"; }

list() { b inspect --type image --format "{{range $1}}{{println .}}{{end}}" "$image"; }

cleanup() {
    set +e
    # By its own id: a process that changed its user is not covered by unshare's --kill-child.
    [[ -z $server ]] || kill -KILL "$server" "$container"
    b umount --all
    b rm --all
    b rmi --force "$image"
    rm -rf --one-file-system "$scratch"
} >/dev/null 2>&1

# Debian with some packages, and a folder's content in /usr/local: stand_in IMAGE PACKAGES FOLDER
stand_in() {
    local root=$scratch/root working
    step "stand-in for $1"
    ! b inspect --type image "$1" >/dev/null 2>&1 || return 0
    debootstrap --variant=minbase ${2:+"--include=$2"} bookworm "$root" \
        ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$scratch/log" || die "$(tail -n 20 "$scratch/log")"
    [[ -z $3 ]] || tar --create --directory "$3" --exclude=share . |
        tar --extract --no-same-owner --directory "$root/usr/local"
    working=$(b from scratch)
    b add --quiet "$working" "$root" / >/dev/null
    b config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env CARGO_HOME=/usr/local/cargo --cmd bash "$working"
    b commit --quiet --rm --format docker "$working" "$1" >/dev/null
    rm -rf "$root"
}

build_image() {
    local name options=(--volume "$store/cargo-registry:/usr/local/cargo/registry")
    for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY; do
        [[ -z ${!name:-} ]] || options+=(--build-arg "$name=${!name}")
    done
    [[ -z ${SSL_CERT_FILE:-} ]] ||
        options+=(--volume "$SSL_CERT_FILE:/etc/ssl/certs/ca-certificates.crt:ro")
    # Only Docker's format has a place for HEALTHCHECK.
    b bud --isolation chroot --network host --pull-never --format docker --tag "$image" \
        "${options[@]}" --file "$checkout/Dockerfile" "$checkout"
}

# The first two variables of the environment are the stand-in's.
check_config() {
    local what format want label='index .Docker.Config.Labels "org.opencontainers.image'
    while IFS='|' read -r what format want; do
        expect "$what" "$want" "$(config "$format")"
    done <<EOF
user|.Docker.Config.User|10001:10001
volume|.Docker.Config.Volumes|map[/data:{}]
port|.Docker.Config.ExposedPorts|map[5000/tcp:{}]
working directory|.Docker.Config.WorkingDir|/data
entrypoint|.Docker.Config.Entrypoint|[imagepool]
command|.Docker.Config.Cmd|[serve]
stop signal|.Docker.Config.StopSignal|SIGTERM
healthcheck|.Docker.Config.Healthcheck.Test|[CMD imagepool health]
title|$label.title"|imagepool
licences|$label.licenses"|MIT OR Apache-2.0
gallery|index .Docker.Config.Env 2|IMAGEPOOL_GALLERY=/data/gallery.pool
address|index .Docker.Config.Env 3|IMAGEPOOL_LISTEN=0.0.0.0:5000
time to stop|index .Docker.Config.Env 4|IMAGEPOOL_SHUTDOWN_TIMEOUT=8s
EOF
}

# Without empty files: buildah leaves them where it mounted something during a build.
files() { (cd "$1" && find . -xdev ! -type d ! -empty ! -path './etc/*' | LC_ALL=C sort); }

# Runs in fresh namespaces and gives way to the image's own program, which is then process 1.
become_container() {
    local root=$1 volume=$2 pictures=$3
    ip link set lo up
    ip address add "$address/32" dev lo
    mkdir -p "$root"/{proc,dev,pictures}
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$volume" "$root/data"
    mount --bind --options ro "$pictures" "$root/pictures"
    exec chroot --userspec=10001:10001 --groups= "$root" \
        env --ignore-environment --chdir=/data "${@:4}"
}

# As the image's user, in the running container's namespaces.
inside() {
    nsenter --target "$server" --mount --pid --net --root --setuid 10001 --setgid 10001 \
        env --ignore-environment "${environment[@]}" "$@"
}

# Retries while the server starts, and while its gallery is still empty.
fetch() {
    nsenter --target "$server" --net curl --noproxy '*' --silent --fail --max-time 5 \
        --retry 20 --retry-all-errors --retry-delay 1 --output "$scratch/picture" \
        --write-out '%{http_code} %{content_type} ' "http://$address:5000$path"
    head --bytes=4 "$scratch/picture"
}

# Starts the image's program, checks what it serves, and stops it: COMMAND...
check_container() {
    local status=0
    step "container: $*"
    unshare --mount --pid --net --fork --kill-child bash -euc 'become_container "$@"' - \
        "$root" "$scratch/volume" "$scratch/pictures" "${environment[@]}" imagepool "$@" \
        >"$scratch/out" 2>"$scratch/err" 9>&- &
    container=$!
    # unshare's one child; it stays the same process when the image's program takes over.
    until read -r server _ <"/proc/$container/task/$container/children" || [[ -n $server ]]; do
        kill -0 "$container" || die "it ended: $(tail -n 20 "$scratch/err")"
        sleep 0.1
    done
    for _ in {1..100}; do
        ! inside "${probe[@]:1}" >/dev/null 2>&1 || break
        sleep 0.2
    done
    inside "${probe[@]:1}" >/dev/null 2>&1 || status=$?
    expect "${probe[*]:1}, inside" 0 "$status"
    expect 'process 1 and its user' 'imagepool 10001' \
        "$(inside cat /proc/1/comm) $(inside stat --format %u /proc/1)"
    # The first start prints an address with a key, which stays good.
    path=${path:-$(grep --only-matching --extended-regexp '/random-image/[0-9a-f]{64}' \
        "$scratch/out" || true)}
    expect 'a random image at the printed address' '200 image/webp RIFF' "$(fetch || true)"
    # Docker kills after 10 seconds, so an idle server has to be gone by then.
    kill -TERM "$server"
    timeout 10 tail --pid="$server" --follow /dev/null || kill -KILL "$server"
    status=0
    wait "$container" || status=$?
    server=
    expect 'exit status after SIGTERM, within 10 s' 0 "$status"
}

[[ $EUID -eq 0 ]] || die "must run as root: debootstrap and chroot need it"
trap cleanup EXIT
mkdir -p "$store/cargo-registry"
exec 9>"$store/lock"
flock --nonblock 9 || die "another run is using $store"
# Short names must resolve to the stand-ins, whatever this machine has configured.
printf 'unqualified-search-registries = ["docker.io"]\n' >"$scratch/registries.conf"
export CONTAINERS_REGISTRIES_CONF=$scratch/registries.conf
stand_in "$debian_image" "" ""
stand_in "$rust_image" ca-certificates,gcc,libc6-dev "$(rustc --print sysroot)"
step "buildah bud"
build_image
step "image configuration"
check_config

step "image contents"
base=$(b mount "$(b from --pull-never "$debian_image")")
root=$(b mount "$(b from --pull-never "$image")")
licences=$(cd "$checkout" && printf ' ./usr/share/doc/imagepool/%s' LICENSE-*)
expect 'files added outside /etc' "./usr/local/bin/imagepool$licences" \
    "$(comm -13 <(files "$base") <(files "$root") | paste --serial --delimiters=' ')"
expect 'owner of /data' 10001:10001 "$(stat --format %u:%g "$root/data")"

mapfile -t environment < <(list .Docker.Config.Env)
mapfile -t command < <(list .Docker.Config.Cmd)
mapfile -t probe < <(list .Docker.Config.Healthcheck.Test)
export -f become_container
mkdir "$scratch/pictures"
cp "$checkout"/samples/*/*.jpg "$scratch/pictures"
# What Docker makes of an empty named volume.
cp --archive "$root/data" "$scratch/volume"
check_container serve --import /pictures
check_container "${command[@]}"
((failures == 0)) || die "$failures checks failed: $(tail -n 20 "$scratch/err")"
printf '\nAll checks passed.\n'
