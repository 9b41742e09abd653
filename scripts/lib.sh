# What the scripts share. Sourced by bash with `set -euo pipefail`; leaves $root (the repository).
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Messages go to stderr: stdout belongs to what a script is asked for.
say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "${0##*/}: $*"
    exit 1
}

# find_root: sets the array $as_root to what stands before a command that needs root, maybe nothing.
find_root() {
    as_root=()
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || die "this needs root, and there is no sudo: run it as root once"
    as_root=(sudo)
}

# missing_packages PACKAGE…: those that are not installed, one a line.
missing_packages() {
    local package state
    for package; do
        # dpkg-query fails for a package that it has never heard of: that one is missing too.
        state=$(dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
        [[ $state = ?i* ]] || printf '%s\n' "$package"
    done
}

# quietly COMMAND…: shows its output, on stderr, only when it fails; its exit status.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

# configure PRESET: where that is due; ninja configures again by itself when a CMakeLists.txt has
# changed, but knows no presets.
configure() {
    [ ! "$root/build/$1/build.ninja" -nt "$root/CMakePresets.json" ] || return 0
    (cd "$root" && quietly cmake --preset "$1") || die "cmake --preset $1 failed, see above"
}

# build PRESET [TARGET…]: configures where that is due and builds; returns only when all is built.
build() {
    local folder=$root/build/$1 preset=$1
    shift
    say "building $preset ${*:+($*) }in build/$preset"
    configure "$preset"
    quietly cmake --build "$folder" --parallel "$(nproc)" ${*:+--target "$@"} ||
        die "the build of $preset failed, see above"
}
