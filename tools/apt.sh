# Shared by the scripts in this folder (sourced): plain progress lines, and packages without questions.

say() { printf -- '-- %s\n' "$*" >&2; }

die() {
    printf -- 'error: %s\n' "$*" >&2
    exit 1
}

# The interpreter: the distribution's first, so that the daemon does not depend on somebody's home directory.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

apt_quiet() {
    DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true apt-get -qq \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null
}

# Package lists are fetched once a day at most: most calls find them fresh.
apt_refresh() {
    if ! find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -1440 2>/dev/null | grep . >/dev/null; then
        say "fetching the package lists"
        apt_quiet update >/dev/null
    fi
}

apt_install() {
    command -v apt-get >/dev/null || die "not a Debian machine; install these by hand: $*"
    [ "$(id -u)" = 0 ] || die "not root; install these first: apt-get install $*"
    apt_refresh
    say "installing: $*"
    local log
    log=$(mktemp)
    if ! apt_quiet install --yes --no-install-recommends "$@" >"$log" 2>&1; then
        say "once more with new package lists"
        apt_quiet update >/dev/null
        if ! apt_quiet install --yes --no-install-recommends "$@" >"$log" 2>&1; then
            cat "$log" >&2
            rm -f "$log"
            die "apt-get could not install: $*"
        fi
    fi
    rm -f "$log"
}

# Runs a command while package scripts may not start services.
without_starting_services() {
    local policy=/usr/sbin/policy-rc.d made=no status=0
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        made=yes
    fi
    ("$@") || status=$?
    if [ $made = yes ]; then rm -f $policy; fi
    return $status
}
