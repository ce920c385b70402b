"""A real daemon that caches Debian's docker-registry: fetched once, served while it is away."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import running_daemon, until
from registry_peers import PEERS, Caller, free_port, make_layout, skopeo


class Distribution:
    """docker-registry on a folder, which can be taken away and come back."""

    def __init__(self, folder: Path) -> None:
        unpacked = PEERS / "usr" / "bin" / "docker-registry"
        found = str(unpacked) if unpacked.exists() else shutil.which("docker-registry")
        assert found, "docker-registry: run tools/registry-peers.sh"
        self._program = found
        self._folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        storage = f"{{filesystem: {{rootdirectory: {folder}/data}}}}"
        (folder / "config.yml").write_text(f"version: 0.1\nstorage: {storage}\nhttp: {{addr: {self.address}}}\n")

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", str(self._folder / "config.yml")], stdout=log, stderr=log
            )
        until(self._answers, 20, "docker-registry answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return Caller(self.address).call("GET", "/v2/")[0] == 200
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def distribution() -> Iterator[Distribution]:
    with tempfile.TemporaryDirectory(prefix="bxr") as folder:
        made = Distribution(Path(folder))
        made.start()
        try:
            yield made
        finally:
            made.stop()


def test_a_cache_of_another_registry(distribution: Distribution, tmp_path: Path) -> None:
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
