#!/bin/bash
# `make install` and `make uninstall`: the programs in a virtual environment of their own under PREFIX/lib/boxship, with
# links in PREFIX/bin, the systemd unit and the bash completion. Uninstalling leaves /etc/boxship and the data root.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
library=$prefix/lib/boxship
unit=$prefix/lib/systemd/system/boxshipd.service
control_unit=$prefix/lib/systemd/system/boxship-control.service
completion=$prefix/share/bash-completion/completions/boxship
documents=$prefix/share/doc/boxship

reload_systemd() {
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

install_all() {
    tools/setup.sh
    local python
    python=$(find_python)
    rm -rf build/lib build/bdist.* # what an earlier build left would be installed again
    say "installing the programs into $root$library"
    rm -rf "$root$library.new"
    mkdir -p "$root$prefix/lib"
    "$python" -m venv "$root$library.new"
    "$root$library.new/bin/python" -m pip install -qq --disable-pip-version-check --retries 5 .
    # The scripts name their interpreter by its path: let them name the place where it will lie.
    sed -i "1s|^#!.*|#!$library/bin/python|" "$root$library.new/bin/boxship" "$root$library.new/bin/boxshipd" \
        "$root$library.new/bin/boxship-control"
    rm -rf "$root$library"
    mv "$root$library.new" "$root$library"
    mkdir -p "$root$prefix/bin"
    ln -sfn "$library/bin/boxship" "$root$prefix/bin/boxship"
    ln -sfn "$library/bin/boxshipd" "$root$prefix/bin/boxshipd"
    ln -sfn "$library/bin/boxship-control" "$root$prefix/bin/boxship-control"

    say "installing $root$unit"
    mkdir -p "$(dirname "$root$unit")"
    sed "s|@PREFIX@|$prefix|g" packaging/boxshipd.service >"$root$unit"
    sed "s|@PREFIX@|$prefix|g" packaging/boxship-control.service >"$root$control_unit"
    install -D -m 644 packaging/boxship.bash "$root$completion"
    install -D -m 644 -t "$root$documents" README.md CHANGELOG.md LICENSE docs/*.md
    if [ ! -e "$root/etc/boxship/boxshipd.toml" ]; then
        install -D -m 644 packaging/boxshipd.toml "$root/etc/boxship/boxshipd.toml"
    fi
    if [ -z "$root" ] && ! getent group boxship >/dev/null; then groupadd --system boxship; fi
    reload_systemd
    say "done; start it with: systemctl enable --now boxshipd"
}

uninstall_all() {
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl disable --now --quiet boxshipd boxship-control 2>/dev/null || true; fi
    rm -rf "$root$library"
    rm -f "$root$prefix/bin/boxship" "$root$prefix/bin/boxshipd" "$root$prefix/bin/boxship-control"
    rm -f "$root$unit" "$root$control_unit" "$root$completion"
    rm -rf "$root$documents"
    reload_systemd
    say "removed; /etc/boxship and the data root are left"
}

case ${1:-} in
    install) install_all ;;
    uninstall) uninstall_all ;;
    *) die "usage: install.sh install|uninstall" ;;
esac
