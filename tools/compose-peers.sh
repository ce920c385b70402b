#!/bin/bash
# Gets the stock Compose programs for the tests: Debian trixie's `docker-compose` (v2, one Go program) and Debian 12's 1.29
# (Python). Unpacks their packages into build/compose, which installs nothing and leaves the machine's docker client alone.
#   build/compose/v2/docker-compose           alone, or as a plugin of the docker client
#   build/compose/v1/docker-compose           starts 1.29 with the Python packages that lie beside it
#   build/compose/v2-current/docker-compose   with --current: the newest v2, of Debian's testing release
# A machine that is no Debian does without (the tests say so and skip); on a Debian a failure is an error.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

target=build/compose
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The version that this machine's own releases have, "" for none.
candidate() {
    apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# Unpack packages ($2...) into the folder $1, fetched with the further options in `from`.
from=()
unpack() {
    local folder=$1
    shift
    mkdir -p "$work/archives" "$folder"
    (cd "$work/archives" && apt_quiet -o APT::Sandbox::User=root "${from[@]}" download "$@")
    for archive in "$work"/archives/*.deb; do
        dpkg -x "$archive" "$folder"
    done
    rm -rf "$work/archives"
}

# Lists of another release, from the place that this machine's own packages come from; apt's own lists stay as they are.
other_release() {
    local place keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
    place=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 == "main" && $4 !~ /-/ { print $1; exit }')
    [ -n "$place" ] || die "apt names no place with Debian's packages"
    [ -e $keyring ] && signed="[signed-by=$keyring]"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    echo "deb $signed $place $1 main" >"$work/sources.list"
    from=(-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists"
        -o Dir::Cache="$work/cache" -o Acquire::Languages=none)
    apt_quiet -o APT::Sandbox::User=root "${from[@]}" update >/dev/null
}

# The program of the package that `from` says, into the folder $1.
place_v2() {
    say "unpacking docker-compose v2 into $1"
    rm -rf "$work/tree"
    unpack "$work/tree" docker-compose
    local program
    program=$(find "$work/tree" -name docker-compose -type f -perm -100 | head -1)
    [ -n "$program" ] || die "the package docker-compose has no program of that name"
    mkdir -p "$1"
    mv "$program" "$1/docker-compose"
}

get_v2() {
    [ -x $target/v2/docker-compose ] && return
    from=()
    case $(candidate docker-compose) in
        2.*) ;;
        *) other_release trixie ;;
    esac
    place_v2 $target/v2
}

# The testing release may ask for a newer C library than this machine has: then there is none.
get_current() {
    [ -x $target/v2-current/docker-compose ] && return
    other_release testing
    place_v2 $target/v2-current
    if ! $target/v2-current/docker-compose version >/dev/null; then
        say "the testing release's docker-compose does not run here"
        rm -rf $target/v2-current
    fi
}

get_v1() {
    [ -x $target/v1/docker-compose ] && return
    case $(candidate docker-compose) in
        1.*) ;;
        *)
            say "this release has no docker-compose 1.29"
            return
            ;;
    esac
    say "unpacking docker-compose 1.29 into $target/v1"
    from=()
    local needed # what it needs that this machine has not: the closest of its Python packages, unpacked beside it
    needed=$(apt-get -s -o Debug::NoLocking=true install --no-install-recommends docker-compose | awk '$1 == "Inst" { print $2 }')
    rm -rf $target/v1
    # shellcheck disable=SC2086
    unpack $target/v1/tree docker-compose $needed
    /usr/bin/python3 -m compileall -q $target/v1/tree # starts in half the time
    cat >"$work/docker-compose" <<'PROGRAM'
#!/bin/sh
place=$(dirname "$(readlink -f "$0")")/tree/usr/lib/python3/dist-packages
PYTHONPATH=$place exec /usr/bin/python3 -W ignore -m compose "$@"
PROGRAM
    chmod 755 "$work/docker-compose"
    mv "$work/docker-compose" $target/v1/docker-compose
}

wanted=(v2 v1)
if [ "${1:-}" = --current ]; then wanted+=(current); fi
if ! command -v apt-get >/dev/null || ! grep -qx 'ID=debian' /etc/os-release; then
    say "not a Debian machine: the tests with the stock Compose programs are skipped"
    exit 0
fi
[ -x $target/v2/docker-compose ] && [ -x $target/v1/docker-compose ] || apt_refresh
for name in "${wanted[@]}"; do
    get_"$name"
done
