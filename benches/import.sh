#!/usr/bin/env bash
#
# Measures imports on this machine with your pictures, beside Debian's cwebp on the same files.
#
#   benches/import.sh [--quick] [--no-build] PICTURES_DIR
#
#   --quick      one round of each instead of five, and 2,000 small pictures instead of 20,000
#   --no-build   take target/release/imagepool (or IMAGEPOOL_BINARY) as it is
#
# In each round, in turn, with the files in the page cache and a new gallery: cwebp over all files, two at a time, as
# the old service's script would; imagepool doing the same work (--renditions none --lossless never); imagepool without
# renditions; imagepool as it comes. Then one JPEG of 16,000 x 16,000 pixels, and 20,000 pictures of 320 x 240, both
# made of PICTURES_DIR once and kept. Prints tables in Markdown on stdout. Exits 1 when a target is missed:
#
#   - without renditions, the wall time is at most 0.85 of cwebp's, for at most 3 % more bytes and an SSIM at most 0.002
#     lower, and memory stays below 600 MB;
#   - memory stays below 1,000 MB with the JPEG of 16,000 x 16,000;
#   - small pictures keep both cores more than 90 % busy.
#
# The old script's converter leaves orientations and colour profiles as they are, so pictures with another profile
# than sRGB are left out of the SSIM, and turned ones are compared with their source as each converter read it. Files
# that either can't read are left out of everything, and so is WebP, which imagepool does not encode again.
#
# Needs Linux, cargo, python3 with venv, and the Debian package webp. The pictures are only read.
#
#   ROUNDS             rounds (default 5; medians are shown)
#   IMAGEPOOL_BINARY   another binary than the one of this checkout, with --no-build
#   XDG_CACHE_HOME     Pillow, numpy, and the pictures that are made are kept in imagepool-bench there
#                      (default ~/.cache)
#   TMPDIR             the galleries and cwebp's files go there: on a disk, a few times the size of the pictures as WebP

set -euo pipefail
shopt -s inherit_errexit
# Numbers are written with a point, and files sorted alike, everywhere.
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
binary=${IMAGEPOOL_BINARY:-}
# What the environment says must not change what is measured.
unset "${!IMAGEPOOL_@}"

readonly jobs=2
readonly quality=75
readonly large_side=16000
readonly most_wall_ratio=0.85
readonly most_bytes_ratio=1.03
readonly most_ssim_loss=0.002
readonly most_megabytes=600
readonly most_large_megabytes=1000
readonly least_busy=0.9

# shellcheck source=benches/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/imagepool-bench
python=$cache/pictures-venv/bin/python
rounds=${ROUNDS:-5}
small_count=20000
build=1
pictures=
work=
imagepool=
import_flags=
missed=0

cleanup() {
    local status=$?
    trap - EXIT
    rm -rf "$work"
    exit "$status"
}

usage() {
    sed -n '3,/^$/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit "$1"
}

parse() {
    while (($#)); do
        case $1 in
        --quick) rounds=1 small_count=2000 ;;
        --no-build) build=0 ;;
        -h | --help) usage 0 ;;
        -*) usage 2 >&2 ;;
        *)
            [[ -z $pictures && -d $1 ]] || usage 2 >&2
            pictures=$(realpath "$1")
            ;;
        esac
        shift
    done
    [[ -n $pictures ]] || usage 2 >&2
}

prepare() {
    local tool
    for tool in python3 cwebp xargs; do
        command -v "$tool" >/dev/null || die "$tool not found"
    done
    work=$(mktemp -d)
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    [[ $(stat --file-system --format %T "$work") != tmpfs ]] ||
        say "$work is in memory: set TMPDIR to a folder on a disk, or the disk's part is not measured"
    install_python "$cache/pictures-venv" Pillow numpy
    if ((build)); then
        imagepool=$(build_imagepool)
    else
        imagepool=${binary:-$benches/../target/release/imagepool}
    fi
    [[ -x $imagepool ]] || die "$imagepool: no such program"
    # A build that is under way elsewhere must not change what is measured halfway.
    cp "$imagepool" "$work/imagepool"
    imagepool=$work/imagepool
    import_flags=$("$imagepool" import --help)
}

# --- numbers ---

# A field of all runs of a name, in a line each.
field() {
    python3 -c 'import json, sys
for line in open(sys.argv[1]): print(json.loads(line)[sys.argv[2]])' "$work/$1.runs" "$2"
}

median_of() { field "$1" "$2" | median; }

most_of() { field "$1" "$2" | sort -n | tail -n 1; }

all_of() { field "$1" wall | awk '{ printf "%s%.2f", (NR > 1 ? ", " : ""), $1 } END { print "" }'; }

# A field of a JSON object in a file.
value() {
    python3 -c 'import json, sys
found = json.load(open(sys.argv[1]))[sys.argv[2]]
print(" ".join(found) or "none" if isinstance(found, list) else found)' "$1" "$2"
}

# --- runs ---

# The flags among those given, in pairs, that this build of imagepool knows.
known_flags() {
    while (($#)); do
        if [[ $import_flags == *"$1 "* ]]; then
            printf '%s\n%s\n' "$1" "$2"
        fi
        shift 2
    done
}

# Runs a command under a name and adds what it took to that name's runs.
measured() {
    local name=$1 status=0
    shift
    sync
    "$python" "$benches/measure.py" run "$work/$name.runs" "$@" || status=$?
    return "$status"
}

# All files of the set, two at a time. The list is made before, so that nothing but cwebp's work is measured.
run_cwebp() {
    rm -rf "$work/cwebp"
    mkdir "$work/cwebp"
    local path
    for path in "$work"/set/*; do
        printf '%s\0-o\0%s\0' "$path" "$work/cwebp/${path##*/}.webp"
    done >"$work/cwebp.list"
    measured "$1" xargs --null --max-args 3 --max-procs "$jobs" --arg-file "$work/cwebp.list" \
        cwebp -quiet -q "$quality"
}

# An import of a path into a new gallery: run_import NAME PATH FLAGS...
run_import() {
    local name=$1 path=$2 status=0
    shift 2
    rm -f "$work"/gallery.pool*
    measured "$name" "$imagepool" --quiet --gallery "$work/gallery.pool" import --jobs "$jobs" "$@" \
        --report "$work/$name.jsonl" --json "$path" >"$work/$name.json" 2>"$work/$name.log" || status=$?
    # 1: some pictures could not be imported; the report says which.
    if ((status > 1)) || [[ ! -s $work/$name.json ]]; then
        die "the import of $path ended with $status: $(tail -n 5 "$work/$name.log")"
    fi
}

# --- what is imported ---

choose_pictures() {
    say "choosing the files that both converters read"
    webp=$("$python" "$benches/measure.py" number "$pictures" "$work/set")
    run_cwebp choosing 2>/dev/null || true
    run_import choosing "$work/set" "${same_work[@]}"
    read -r files unread failed < <(
        "$python" "$benches/measure.py" keep "$work/set" "$work/cwebp" "$work/choosing.jsonl"
    )
    ((files > 1)) || die "$pictures: no pictures to compare with"
}

# Names what was made of these pictures, so that other pictures make others.
pictures_key() { (cd "$pictures" && find . -type f -printf '%P %s\n' | sort | sha256sum | cut -c 1-16); }

make_pictures() {
    local key
    key=$(pictures_key)
    small=$cache/small-$small_count-$key
    large=$cache/large-$large_side-$key.jpg
    if [[ ! -e $small.complete ]]; then
        say "cutting $small_count small pictures to $small"
        rm -rf "$small"
        mkdir -p "$small"
        "$python" "$benches/measure.py" small "$pictures" "$small" "$small_count"
        touch "$small.complete"
    fi
    if [[ ! -e $large ]]; then
        say "making a JPEG of $large_side x $large_side pixels at $large"
        "$python" "$benches/measure.py" large "$pictures" "$large.part" "$large_side"
        mv "$large.part" "$large"
    fi
}

# --- measuring ---

measure_photographs() {
    local round
    for ((round = 1; round <= rounds; round++)); do
        say "round $round of $rounds"
        find "$work/set" -type f -exec cat {} + >/dev/null
        run_cwebp cwebp
        run_import same "$work/set" "${same_work[@]}"
        if ((round == 1)); then
            say "comparing the results"
            "$imagepool" --quiet --gallery "$work/gallery.pool" export --all "$work/exported"
            "$python" "$benches/measure.py" quality "$work/set" "$work/cwebp" "$work/same.jsonl" "$work/exported" \
                >"$work/quality.json"
            rm -rf "$work/exported"
        fi
        run_import plain "$work/set" "${no_renditions[@]}"
        run_import default "$work/set"
    done
}

measure_large() {
    say "the JPEG of $large_side x $large_side pixels"
    local flag=()
    # A build whose limit is lower says so in its report; it is told to take the picture all the same.
    if [[ $import_flags =~ (--[a-z-]*pixels)[[:space:]] ]]; then
        flag=("${BASH_REMATCH[1]}" $((large_side * large_side)))
    fi
    cat "$large" >/dev/null
    run_import large "$large" "${flag[@]}"
    large_status=$(python3 -c 'import json, sys
line = json.loads(open(sys.argv[1]).readline()); print(line["status"], line.get("reason") or "")' "$work/large.jsonl")
}

measure_small() {
    local round
    for ((round = 1; round <= (rounds + 1) / 2; round++)); do
        say "$small_count small pictures, round $round"
        find "$small" -type f -exec cat {} + >/dev/null
        run_import small "$small" "${no_renditions[@]}"
    done
}

# --- report ---

# A row: its title, and what of a name's runs belongs in it.
row() {
    local title=$1 name=$2
    printf '| %s | %s | %s | %s | %s | %s |\n' "$title" "$(calculate %.2f "$(median_of "$name" wall)")" \
        "$(calculate %.2f "$(median_of "$name" wall) / $(median_of cwebp wall)")" \
        "$(calculate %.2f "$(median_of "$name" cpu)")" "$(calculate %.0f "$(most_of "$name" peak_mb)")" \
        "$(all_of "$name")"
}

report() {
    local memory commit wall cpu q=$work/quality.json
    memory=$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 / 1e9 }' /proc/meminfo)
    printf '%s, %s GB. ' "$(machine)" "$memory"
    commit=$(git -C "$benches" describe --always --dirty 2>/dev/null || echo 'no commit')
    printf '%s (%s); ' "$("$imagepool" --version)" "$commit"
    printf 'cwebp %s. Medians of %s rounds in turn, %s at once. ' "$(cwebp -version | head -n 1)" "$rounds" "$jobs"
    printf 'Others kept the cores %s %% busy before and %s %% after.\n\n' "$busy_before" "$busy_after"
    printf '%s files, %s MB, that both read; left out: %s WebP, %s that cwebp and %s that imagepool can not read.\n\n' \
        "$files" "$(calculate %.1f "$(value "$q" bytes_in) / 1e6")" "$webp" "$unread" "$failed"
    printf '| photographs | wall, s | of cwebp | CPU, s | peak memory, MB | wall of all rounds, s |\n'
    printf '|---|---:|---:|---:|---:|---|\n'
    row "cwebp -q $quality" cwebp
    row "imagepool ${same_work[*]:-(has no flags for the same work)}" same
    row "imagepool ${no_renditions[*]:-(has no --renditions)}" plain
    row 'imagepool, as it comes' default
    printf '\nOf the peak, %s MB were anonymous; the rest is the gallery in the page cache. ' \
        "$(calculate %.0f "$(most_of same anonymous_mb)")"
    printf 'The renditions take %s of the time without them.\n\n' \
        "$(calculate %.2f "$(median_of default wall) / $(median_of plain wall)")"
    printf '| | cwebp | imagepool | |\n|---|---:|---:|---:|\n'
    printf '| bytes, MB | %s | %s | ratio %s |\n' "$(calculate %.3f "$(value "$q" bytes_theirs) / 1e6")" \
        "$(calculate %.3f "$(value "$q" bytes_ours) / 1e6")" "$(calculate %.4f "$bytes_ratio")"
    printf '| mean SSIM of %s pictures | %s | %s | difference %s |\n\n' "$(value "$q" compared)" \
        "$(calculate %.5f "$(value "$q" ssim_theirs)")" "$(calculate %.5f "$(value "$q" ssim_ours)")" \
        "$(calculate %+.5f "-($ssim_loss)")"
    printf 'Left out of the SSIM: %s with another colour profile than sRGB; of another size than their source: %s.\n\n' \
        "$(value "$q" profiles)" "$(value "$q" unlike)"
    wall=$(median_of small wall) cpu=$(median_of small cpu)
    printf '| | wall, s | CPU, s | peak memory, MB | of it anonymous, MB | |\n|---|---:|---:|---:|---:|---|\n'
    printf '| one JPEG of %s x %s | %s | %s | %s | %s | %s |\n' "$large_side" "$large_side" "$(median_of large wall)" \
        "$(median_of large cpu)" "$(most_of large peak_mb)" "$(most_of large anonymous_mb)" "$large_status"
    printf '| %s of 320 x 240 | %s | %s | %s | %s | %s a second, cores %s busy |\n\n' "$small_count" "$wall" "$cpu" \
        "$(most_of small peak_mb)" "$(most_of small anonymous_mb)" "$(calculate %.0f "$small_imported / $wall")" \
        "$(calculate %.3f "$busy")"
}

# Whether a target, in words and as a condition, was met.
judge() {
    if [[ $(calculate %d "($2)") == 1 ]]; then
        printf -- '- reached: %s (%s)\n' "$1" "$3"
    else
        printf -- '- NOT REACHED: %s (%s)\n' "$1" "$3"
        missed=1
    fi
}

judge_all() {
    local wall_ratio peak large_peak name imported=0
    wall_ratio=$(calculate %.3f "$(median_of plain wall) / $(median_of cwebp wall)")
    peak=$(for name in same plain; do most_of "$name" peak_mb; done | sort -n | tail -n 1)
    large_peak=$(most_of large peak_mb)
    [[ $large_status == imported* ]] && imported=1
    judge "wall time without renditions at most $most_wall_ratio of cwebp's" "$wall_ratio <= $most_wall_ratio" "$wall_ratio"
    judge "at most 3 % more bytes" "$bytes_ratio <= $most_bytes_ratio" "$(calculate %+.2f "100 * ($bytes_ratio - 1)") %"
    judge "SSIM at most $most_ssim_loss lower" "$ssim_loss <= $most_ssim_loss" "$(calculate %.5f "$ssim_loss") lower"
    judge "memory below $most_megabytes MB without renditions" "$peak < $most_megabytes" "$peak MB"
    judge "memory below $most_large_megabytes MB with the large JPEG, and it is imported" \
        "$imported && $large_peak < $most_large_megabytes" "$large_peak MB, $large_status"
    judge "cores more than $(calculate %.0f "100 * $least_busy") % busy with small pictures, and all are imported" \
        "$busy > $least_busy && $small_imported == $small_count" \
        "$(calculate %.1f "100 * $busy") %, $small_imported of $small_count"
}

main() {
    parse "$@"
    prepare
    mapfile -t no_renditions < <(known_flags --renditions none)
    mapfile -t same_work < <(known_flags --renditions none --lossless never)
    make_pictures
    choose_pictures
    busy_before=$(busy_percent)
    measure_photographs
    measure_large
    measure_small
    busy_after=$(busy_percent)
    bytes_ratio=$(calculate %.6f "$(value "$work/quality.json" bytes_ours) / $(value "$work/quality.json" bytes_theirs)")
    ssim_loss=$(calculate %.6f "$(value "$work/quality.json" ssim_theirs) - ($(value "$work/quality.json" ssim_ours))")
    busy=$(calculate %.4f "$(median_of small cpu) / ($jobs * $(median_of small wall))")
    # Crops of an even sky may be one image.
    small_imported=$(($(value "$work/small.json" imported) + $(value "$work/small.json" duplicates)))
    report
    judge_all
    return "$missed"
}

main "$@"
