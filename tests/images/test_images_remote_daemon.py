"""Registries through a real daemon and both clients: push, pull, log in, and kill -9 in the middle of a pull."""

import json
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from images_kit import config, layer
from remote_registry import Asked, FakeRegistry, Said

from daemons import Daemon, docker_program, running_daemon, until

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def box() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_daemon(Path(folder)) as running:
        yield running


def big_layer(seed: int, size: int = 6 * MEBIBYTE) -> bytes:
    return layer(f"file{seed}", os.urandom(size))


def test_both_clients_push_pull_and_run(box: Daemon, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/busybox:1"
    box.docker("tag", "busybox:latest", name)
    pushed = box.docker("push", name).stdout
    assert "Pushed" in pushed and "digest: sha256:" in pushed
    assert "Layer already exists" in box.boxship("push", name).stdout
    other = f"{registry.host}/other:2"
    box.docker("tag", name, other)
    assert "Mounted from team/busybox" in box.docker("push", other).stdout
    digest = pushed.rpartition("digest: ")[2].split()[0]
    assert digest in box.docker("images", "--digests", "--format", "{{.Digest}}").stdout
    identifier = box.docker("image", "inspect", "-f", "{{.Id}}", name).stdout
    for client in (box.docker, box.boxship):
        box.docker("rmi", "-f", identifier.strip())
        assert "Downloaded newer image" in client("pull", name).stdout
        assert box.docker("image", "inspect", "-f", "{{.Id}}", name).stdout == identifier
        assert "up to date" in client("pull", name).stdout
        box.docker("rmi", "-f", identifier.strip())
        assert client("run", "--rm", name, "echo", "hello", timeout=60).stdout == "hello\n"
        assert client("run", "--rm", "--pull=always", name, "echo", "hello").stdout == "hello\n"
    box.docker("tag", name, "busybox:latest")
    assert client("pull", "-q", name).stdout == f"{name}\n"
    found = box.docker("pull", f"{registry.host}/none:1", check=False)
    assert found.returncode == 1 and "pull access denied for" in found.stderr
    assert box.docker("create", "--pull=never", "none-here", check=False).returncode != 0


def test_events_tell_of_pull_and_push(box: Daemon, registry: FakeRegistry) -> None:
    name = f"{registry.host}/app:1"
    layers = [layer("x")]
    registry.add_image("app", "1", layers, config(layers))
    box.docker("pull", name)
    box.docker("push", name)
    until_then = str(int(time.time()) + 1)
    asked = ["--since", "1m", "--until", until_then, "--filter", "type=image", "--format", "{{json .}}"]
    shown = box.docker("events", *asked)
    told = [json.loads(line) for line in shown.stdout.splitlines()]
    found = {(event["Action"], event["Actor"]["ID"]) for event in told}
    assert {("pull", name), ("push", name)} <= found, found


def test_login_is_kept_as_the_stock_client_keeps_it(box: Daemon, registry: FakeRegistry, tmp_path: Path) -> None:
    registry.users = {"ann": "secret"}
    layers = [layer("x")]
    registry.add_image("private", "1", layers, config(layers))
    name = f"{registry.host}/private:1"
    path = box.home / "client" / "config.json"
    own = {"env": {"DOCKER_CONFIG": str(path.parent)}}
    for login, logout in ((box.docker, boxship_with(box, **own)), (boxship_with(box, **own), box.docker)):
        refused = box.docker("pull", name, check=False)
        assert refused.returncode == 1 and "no basic auth credentials" in refused.stderr
        wrong = login("login", "-u", "ann", "--password-stdin", registry.host, data=b"wrong\n", check=False)
        assert wrong.returncode == 1 and "authentication required" in wrong.stderr
        told = login("login", "-u", "ann", "--password-stdin", registry.host, data=b"secret\n")
        assert "Login Succeeded" in told.stdout
        kept = json.loads(path.read_text())
        assert kept["auths"][registry.host] == {"auth": "YW5uOnNlY3JldA=="}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        box.docker("pull", name)
        boxship_with(box, **own)("pull", name)
        box.docker("push", name)
        boxship_with(box, **own)("push", name)
        logout("logout", registry.host)
        assert registry.host not in json.loads(path.read_text()).get("auths", {})
        box.docker("rmi", "-f", name)


def boxship_with(box: Daemon, env: dict[str, str]):  # type: ignore[no-untyped-def]
    """Our client with more in its environment."""

    def call(*arguments: str, **options: object):  # type: ignore[no-untyped-def]
        before = {name: os.environ.get(name) for name in env}
        os.environ.update(env)
        try:
            return box.boxship(*arguments, **options)  # type: ignore[arg-type]
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    return call


def test_import_from_an_address(box: Daemon, registry: FakeRegistry) -> None:
    registry.rule("GET", "/base.tar", Said(body=layer("hello", b"from afar")))
    identifier = box.docker("import", f"{registry.url}/base.tar", "afar:1").stdout.split()[-1]
    assert box.docker("image", "inspect", "-f", "{{.Id}}", "afar:1").stdout.strip() == identifier
    refused = box.docker("import", f"{registry.url}/none.tar", "afar:2", check=False)
    assert refused.returncode == 1 and "no such page" in refused.stderr
    box.docker("rmi", "afar:1")


def test_distribution_inspect(box: Daemon, registry: FakeRegistry) -> None:
    layers = [layer("x")]
    digest = registry.add_image("app", "1", layers, config(layers))
    docker = pytest.importorskip("docker")
    client = docker.DockerClient(base_url=box.url)
    try:
        data = client.images.get_registry_data(f"{registry.host}/app:1")
        assert data.id == digest and data.attrs["Platforms"][0]["architecture"] == "amd64"
        pulled = client.images.pull(f"{registry.host}/app", tag="1")
        assert f"{registry.host}/app:1" in pulled.tags
        told = list(client.images.push(f"{registry.host}/app", tag="1", stream=True, decode=True))
        assert told[-1]["aux"]["Digest"] == digest
    finally:
        client.close()


def test_killed_in_the_middle_of_a_pull_it_goes_on(registry: FakeRegistry) -> None:
    layers = [big_layer(number) for number in range(3)]
    registry.add_image("big", "1", layers, config(layers))
    slow = next(digest for digest, data in registry.blobs.items() if data == layers[2])
    registry.rule("GET", f"blobs/{slow}", Said(body=layers[2], cut=4 * MEBIBYTE), times=1)
    registry.rule("GET", f"blobs/{slow}", Said(hang=True), times=1)
    name = f"{registry.host}/big:1"
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_daemon(Path(folder), image=False) as box:
        pulling = subprocess.Popen(
            [docker_program(), "-H", box.url, "pull", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: registry.count("GET", f"blobs/{slow}") >= 2, 20, "the slow layer is asked for again")
        until(
            lambda: all(registry.count("GET", f"blobs/{digest}") for digest in registry.blobs),
            20,
            "every layer is asked for",
        )
        kept = box.data / "content" / "blobs" / "sha256"
        until(lambda: len(list(kept.iterdir())) >= 4, 20, "two layers, the config and the manifest are here")
        box.kill()
        pulling.wait(20)
        box.start()
        assert box.docker("images", "-aq").stdout == ""
        assert box.docker("pull", name, timeout=60).returncode == 0
        for digest, data in registry.blobs.items():
            assert registry.sent_of(digest) <= len(data) + MEBIBYTE + 64 * 1024, digest
        assert name in box.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout
        assert list((box.data / "content" / "partials").iterdir()) == []
        box.docker("rmi", name)
        until(lambda: not list(kept.iterdir()), 10, "everything is gone with the image")


def test_killed_at_any_moment_of_a_pull_nothing_half_made_shows(registry: FakeRegistry) -> None:
    layers = [big_layer(number, 2 * MEBIBYTE) for number in range(6)]
    registry.add_image("big", "1", layers, config(layers))
    for digest, data in list(registry.blobs.items()):
        registry.rule("GET", f"blobs/{digest}", lambda asked, data=data: slowly(asked, data))  # type: ignore[misc]
    name = f"{registry.host}/big:1"
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_daemon(Path(folder), image=False) as box:
        for sent in (1, 4 * MEBIBYTE, 9 * MEBIBYTE, 12 * MEBIBYTE):
            pulling = subprocess.Popen(
                [docker_program(), "-H", box.url, "pull", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            until(lambda: sum(registry.sent.values()) >= sent or pulling.poll() is not None, 30, "bytes went out")  # noqa: B023
            box.kill()
            pulling.wait(20)
            box.start()
            shown = box.docker("images", "-aq", "--no-trunc").stdout.split()
            assert len(shown) <= 1
            if shown:
                assert box.docker("save", name, timeout=60).returncode == 0
        box.docker("pull", name, timeout=60)
        box.docker("create", name, "x")
        assert sum(registry.sent.values()) <= sum(map(len, registry.blobs.values())) + 16 * MEBIBYTE


def slowly(asked: Asked, data: bytes) -> Said:
    start = int(asked.headers.get("range", "bytes=0-")[6:-1])
    headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
    return Said(206 if start else 200, headers, data[start:], pause=0.01)
