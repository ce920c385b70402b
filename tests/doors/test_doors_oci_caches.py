"""A real daemon that caches Debian's docker-registry: fetched once, served while it is away."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import free_port, running_daemon
from registry_peers import Caller, DebianRegistry, debian_registry, make_layout, skopeo


@pytest.fixture
def distribution() -> Iterator[DebianRegistry]:
    with tempfile.TemporaryDirectory(prefix="bxr") as folder, debian_registry(Path(folder)) as running:
        yield running


def test_a_cache_of_another_registry(distribution: DebianRegistry, tmp_path: Path) -> None:
    digest = make_layout(tmp_path / "layout", os.urandom(3_000_000), b"small")
    there = f"docker://{distribution.address}/lib/box:1"
    skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:x", there)
    (tmp_path / "policy.toml").write_text(
        f'[[cache]]\nprefix = "hub"\nupstream = "{distribution.address}"\nrefresh = "0s"\n'
    )
    address = f"127.0.0.1:{free_port()}"
    options = ("--registry", address, "--registry-policy", str(tmp_path / "policy.toml"))
    with running_daemon(tmp_path, *options, image=False) as daemon:
        here, caller = f"docker://{address}/hub/lib/box", Caller(address)
        skopeo("copy", "--preserve-digests", "--src-tls-verify=false", f"{here}:1", f"oci:{tmp_path}/first:x")
        assert caller.call("GET", "/v2/hub/lib/box/manifests/none")[0] == 404
        assert caller.call("POST", "/v2/hub/lib/box/blobs/uploads/")[0] == 405
        distribution.stop()
        skopeo("copy", "--preserve-digests", "--src-tls-verify=false", f"{here}@{digest}", f"oci:{tmp_path}/second:x")
        skopeo("copy", "--preserve-digests", "--src-tls-verify=false", f"{here}:1", f"oci:{tmp_path}/third:x")
        assert caller.call("GET", "/v2/hub/lib/box/manifests/other")[0] == 503
        daemon.kill()
        daemon.start()
        skopeo("copy", "--preserve-digests", "--src-tls-verify=false", f"{here}:1", f"oci:{tmp_path}/fourth:x")
        distribution.start()
        changed = make_layout(tmp_path / "changed", b"new")
        skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{tmp_path}/changed:x", there)
        shown = json.loads(skopeo("inspect", "--tls-verify=false", f"{here}:1").stdout)
        assert shown["Digest"] == changed
        assert caller.call("DELETE", "/v2/hub/lib/box/manifests/1")[0] == 202
    for folder in ("first", "second", "third", "fourth"):
        for path in (tmp_path / folder / "blobs" / "sha256").iterdir():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        assert (tmp_path / folder / "blobs" / "sha256" / digest[7:]).exists()
