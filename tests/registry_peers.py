"""What registries meet: skopeo and a layout for it to copy, raw requests that wait for nobody, and another registry."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archives import tar_of
from daemons import PROJECT, free_port, until

PEERS = PROJECT / "build" / "peers"


def skopeo(*words: str, check: bool = True, home: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the machine's skopeo, or the one that tools/registry-peers.sh unpacked."""
    program = shutil.which("skopeo") or str(PEERS / "usr/bin/skopeo")
    assert Path(program).exists(), "skopeo: run tools/registry-peers.sh"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(PEERS / "usr/lib/x86_64-linux-gnu")}
    if home is not None:
        environment |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "REGISTRY_AUTH_FILE": str(home / "auth.json")}
    done = subprocess.run(
        [program, "--insecure-policy", *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert not check or done.returncode == 0, f"skopeo {' '.join(words)}: {done.stderr}"
    return done


def make_layout(folder: Path, *layers: bytes) -> str:
    """An OCI layout with one image, tagged x; the manifest's digest. Each layer has one file."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        encoded = hashlib.sha256(data).hexdigest()
        (blobs / encoded).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{encoded}", "size": len(data)}

    tars = [tar_of({f"file{number}": data}) for number, data in enumerate(layers)]
    entries = [put(tar, "application/vnd.oci.image.layer.v1.tar") for tar in tars]
    diffs = [entry["digest"] for entry in entries]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}}
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": entries,
    }
    manifest = put(json.dumps(document).encode(), document["mediaType"])  # type: ignore[arg-type]
    named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": "x"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return str(manifest["digest"])


class Caller:
    """Requests to one registry, each over a connection of its own."""

    def __init__(self, address: str, context: ssl.SSLContext | None = None) -> None:
        self.address = address
        self._context = context

    def open(self) -> http.client.HTTPConnection:
        if self._context is not None:
            return http.client.HTTPSConnection(self.address, timeout=30, context=self._context)
        return http.client.HTTPConnection(self.address, timeout=30)

    def call(
        self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.open()
        try:
            connection.request(method, path, data, headers or {})
            got = connection.getresponse()
            return got.status, {name.lower(): value for name, value in got.getheaders()}, got.read()
        finally:
            connection.close()


class DebianRegistry:
    """Debian's docker-registry on a folder; it can be stopped and come back. `parts` are further parts of its settings;
    with certificates in them it is asked by TLS."""

    def __init__(self, folder: Path, **parts: Any) -> None:
        unpacked = PEERS / "usr" / "bin" / "docker-registry"
        found = str(unpacked) if unpacked.exists() else shutil.which("docker-registry")
        assert found, "docker-registry: run tools/registry-peers.sh"
        self.address = f"127.0.0.1:{free_port()}"
        self._program = found
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        http_part = {"addr": self.address, **parts.pop("http", {})}
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        self._caller = Caller(self.address, blind if "tls" in http_part else None)
        storage = {"filesystem": {"rootdirectory": f"{folder}/registry"}}
        settings = {"version": 0.1, "storage": storage, "http": http_part, **parts}
        (folder / "config.yml").write_text(json.dumps(settings))

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", str(self._folder / "config.yml")], stdout=log, stderr=log
            )
        until(self._answers, 20, "docker-registry answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self._caller.call("GET", "/v2/")[0] in (200, 401)
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def debian_registry(folder: Path, **parts: Any) -> Iterator[DebianRegistry]:
    """One that runs."""
    registry = DebianRegistry(folder, **parts)
    try:
        registry.start()
        yield registry
    finally:
        registry.stop()
