"""Every option can be given as a flag and in the TOML file, under the same name, and means the same in both places."""

import json
from pathlib import Path
from typing import Any

import pytest

from boxship.main.options import Options, parse_arguments

# A value for each option, and what it needs beside it.
VALUES: dict[str, Any] = {
    "data-root": "/x/data",
    "run-root": "/x/run",
    "host": ["unix:///x/a.sock", "unix:///x/b.sock"],
    "socket-mode": "0600",
    "socket-group": "7",
    "tls-ca": "/ca",
    "tls-cert": "/cert",
    "tls-key": "/key",
    "tls-crl": "/crl",
    "tls-name": ["a.example", "b.example"],
    "tls-life": "3h",
    "pki": "/pki",
    "pki-passphrase-file": "/passphrase",
    "trust-policy": "/trust",
    "log-level": "debug",
    "address-pool": ["10.1.0.0/16:24", "10.2.0.0/16:24"],
    "bridge-subnet": "10.3.0.0/24",
    "dns": ["192.0.2.1", "192.0.2.2"],
    "log-driver": "local",
    "log-opt": {"max-size": "1m", "max-file": "2"},
    "runtime": "runc",
    "add-runtime": {"mine": "/bin/mine"},
    "mtu": 1300,
    "ingress-ports": "8080,8443",
    "pod-users": "655360:131072",
    "static-pods": "/pods",
    "system-reserved": "cpu=200m,memory=1Gi",
    "eviction": ["memory.available<1Gi", "nodefs.available<5%:60"],
    "eviction-transition": "20s",
    "image-garbage": "70%,60%,1Gi,30s",
    "images-from-nodes": "off",
    "image-credentials": "NeverVerifyAllowlistedImages",
    "preloaded-image": ["a.example/web", "b.example/team/*"],
    "label": ["a=b", "c=d"],
    "registry-mirror": ["https://a.example", "https://b.example"],
    "mirror": ["c.example=https://d.example", "e.example=https://f.example"],
    "insecure-registry": ["a.example", "10.0.0.0/8"],
    "registry-ca": ["/ca", "/other"],
    "http-proxy": "http://p:1",
    "https-proxy": "http://p:2",
    "no-proxy": ["a.example", "b.example"],
    "push-compression": "zstd",
    "registry": "127.0.0.1:5000",
    "registry-name": ["a.example", "b.example:5000"],
    "registry-tls-cert": "/cert",
    "registry-tls-key": "/key",
    "registry-tls-clients": True,
    "registry-plain-http": True,
    "registry-auth": "/users",
    "registry-token": True,
    "registry-policy": "/policy",
    "registry-metrics": True,
    "host-ca": True,
    "build-cache-limit": "5m",
    "unused-image-limit": "7g",
}
NEEDS: dict[str, dict[str, Any]] = {
    "preloaded-image": {"image-credentials": "NeverVerifyAllowlistedImages"},
    "tls-name": {"pki": "/pki"},
    "pki-passphrase-file": {"pki": "/pki"},
    "registry-tls-clients": {"pki": "/pki"},
    "registry-tls-cert": {"registry-tls-key": "/key"},
    "registry-tls-key": {"registry-tls-cert": "/cert"},
    "registry-token": {"registry-auth": "/users"},
}
OF_OTHERS = ("registry-mirror", "registry-ca")
NAMES = [name.replace("_", "-") for name in Options.__struct_fields__]


def flags(name: str, value: Any) -> list[str]:
    match value:
        case True:
            return [f"--{name}"]
        case list():
            return [word for part in value for word in (f"--{name}", part)]
        case dict():
            return [word for key, part in value.items() for word in (f"--{name}", f"{key}={part}")]
        case _:
            return [f"--{name}", str(value)]


def line(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"\n[{name}]\n" + "".join(f"{key} = {json.dumps(part)}\n" for key, part in value.items())
    return f"{name} = {json.dumps(value)}\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_flag_and_the_file_say_the_same(name: str, tmp_path: Path) -> None:
    given = {name: VALUES[name], **NEEDS.get(name, {})}
    if name.startswith("registry-") and name not in OF_OTHERS:
        given["registry"] = "127.0.0.1:5000"
    file = tmp_path / "boxshipd.toml"
    file.write_text("".join(line(*pair) for pair in sorted(given.items(), key=lambda pair: isinstance(pair[1], dict))))
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    by_file = parse_arguments(["--config", str(file)])
    by_flag = parse_arguments(["--config", str(empty), *(word for pair in given.items() for word in flags(*pair))])
    assert by_file == by_flag
    field = name.replace("-", "_")
    expected = tuple(VALUES[name]) if isinstance(VALUES[name], list) else VALUES[name]
    assert getattr(by_file, field) == expected != getattr(Options(), field)


def test_no_option_is_left_out() -> None:
    assert set(VALUES) == set(NAMES)
