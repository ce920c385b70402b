#!/bin/bash
# Installs what Boxship needs and this machine lacks, then makes .venv. Does nothing, quickly, when all is there.
# Never asks a question, never starts a service, never touches what is already installed.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

# package | a command or file that shows it is there | what for
needs() {
    cat <<TABLE
haproxy         | haproxy            | answers Ingress on the nodes of a cluster
crun            | crun               | makes and enters containers
runc            | runc               | the other runtime, by name
conmon          | conmon             | holds a container's output and exit code
nftables        | nft                | shows the rules; the tests read them
libnftables1    | libnftables.so.1   | published ports and NAT, in process
iproute2        | ip                 | the tests and the demo look at interfaces
procps          | ps                 | docker top
busybox-static  | static:busybox     | boxship base busybox
mmdebstrap      | mmdebstrap         | boxship base debian
tini            | tini-static        | docker run --init
zstd            | zstd               | compressed layers and archives
git             | git                | builds of repositories
bzip2           | bzip2              | the tests pack archives with it
ca-certificates | /etc/ssl/certs/ca-certificates.crt | HTTPS
TABLE
}

present() {
    case $1 in
        /*) [ -e "$1" ] ;;
        static:*) command -v "${1#static:}" >/dev/null && ! ldd "$(command -v "${1#static:}")" >/dev/null 2>&1 ;;
        *.so.*) ldconfig -p | grep -F "$1" >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing=()
while IFS='|' read -r package sign purpose; do
    package=${package// /} sign=${sign// /}
    if ! present "$sign"; then
        say "missing: $package (${purpose# })"
        missing+=("$package")
    fi
done < <(needs)

python=$(find_python) || die "Boxship needs Python 3.11 or newer; this machine has none (set PYTHON to one)"

made_for=$(sha256sum pyproject.toml | cut -d' ' -f1)" $PWD"
if [ -x .venv/bin/boxshipd ] && .venv/bin/python -c '' 2>/dev/null && [ "$(cat .venv/made-for 2>/dev/null)" = "$made_for" ]; then
    venv_is_current=yes
else
    venv_is_current=no
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "missing: python3-venv (the virtual environment)"
        missing+=(python3-venv)
    fi
fi

if [ ${#missing[@]} -gt 0 ]; then
    without_starting_services apt_install "${missing[@]}"
fi

if [ $venv_is_current = no ]; then
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1 || ! grep -q -F "$PWD/.venv" .venv/bin/activate; then
        say "making .venv with $("$python" --version) ($python)"
        rm -rf .venv
        "$python" -m venv .venv
    fi
    say "installing the Python packages that pyproject.toml names"
    .venv/bin/python -m pip install -qq --disable-pip-version-check --retries 5 --editable '.[dev]'
    .venv/bin/python -m compileall -q src  # the client starts in half the time
    echo "$made_for" >.venv/made-for
    say "ready: .venv/bin/boxship and .venv/bin/boxshipd"
fi
