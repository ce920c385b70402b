"""What users of the stock client do with registries beside pull and push: lists of platforms, every tag, bars on a
terminal, helpers that keep secrets, search; and what both clients then say about the disk."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images_kit import config, layer
from remote_registry import FakeRegistry, Said

from daemons import Daemon, busybox_tar, docker_program, running_daemon

SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[Daemon, str]]:
    """A daemon with a registry of its own, and the registry's address."""
    address = f"127.0.0.1:{free_port()}"
    with (
        tempfile.TemporaryDirectory(prefix="bx") as folder,
        running_daemon(Path(folder), "--registry", address) as running,
    ):
        yield running, address


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


def architecture(daemon: Daemon, name: str) -> str:
    shown: str = daemon.docker("image", "inspect", "-f", "{{.Architecture}}", name).stdout.strip()
    return shown


def test_lists_of_platforms_made_by_the_stock_client(machine: tuple[Daemon, str]) -> None:
    daemon, address = machine
    name = f"{address}/multi"
    for kind in ("amd64", "arm64"):
        daemon.docker("import", "--platform", f"linux/{kind}", "-", f"{name}:{kind}", data=busybox_tar())
        daemon.docker("push", f"{name}:{kind}")
    daemon.docker("manifest", "create", "--insecure", f"{name}:both", f"{name}:amd64", f"{name}:arm64")
    pushed = daemon.docker("manifest", "push", "--purge", "--insecure", f"{name}:both").stdout.strip()
    shown = json.loads(daemon.docker("manifest", "inspect", "--insecure", f"{name}:both").stdout)
    assert {entry["platform"]["architecture"] for entry in shown["manifests"]} == {"amd64", "arm64"}
    verbose = json.loads(daemon.docker("manifest", "inspect", "-v", "--insecure", f"{name}:arm64").stdout)
    assert verbose["Descriptor"]["platform"]["architecture"] == "arm64"
    daemon.docker("rmi", f"{name}:amd64", f"{name}:arm64")
    for client in (daemon.docker, daemon.boxship):
        client("pull", f"{name}:both")
        assert architecture(daemon, f"{name}:both") == "amd64"
        assert pushed in daemon.docker("images", "--digests", "--format", "{{.Digest}}", name).stdout
        assert client("run", "--rm", f"{name}:both", "/bin/echo", "hello").stdout == "hello\n"
        # another platform is pulled where it is asked for, whatever is here
        made = client("create", "--platform", "linux/arm64", f"{name}:both", "x")
        assert f"Unable to find image '{name}:both' locally" in made.stderr
        assert architecture(daemon, f"{name}:both") == "arm64"
        daemon.docker("rm", made.stdout.split()[-1])
        client("pull", "--platform", "linux/amd64", f"{name}:both")
        assert architecture(daemon, f"{name}:both") == "amd64"
        refused = client("pull", "--platform", "linux/s390x", f"{name}:both", check=False)
        assert refused.returncode == 1 and "no matching manifest for linux/s390x" in refused.stderr
        daemon.docker("rmi", f"{name}:both")


def test_every_tag(machine: tuple[Daemon, str]) -> None:
    daemon, address = machine
    for client, name in ((daemon.docker, f"{address}/every/stock"), (daemon.boxship, f"{address}/every/ours")):
        names = [f"{name}:{tag}" for tag in ("1", "2", "latest")]
        for one in names:
            daemon.docker("tag", "busybox", one)
        assert client("push", "-a", name).stdout.count("digest: sha256:") == 3
        daemon.docker("rmi", *names)
        client("pull", "-a", name)
        assert sorted(daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}}", name).stdout.split()) == names
        daemon.docker("rmi", *names)
        client("pull", name)  # without a tag and -a: latest
        assert daemon.docker("images", "--format", "{{.Tag}}", name).stdout.split() == ["latest"]
        daemon.docker("rmi", f"{name}:latest")


def on_terminal(daemon: Daemon, program: list[str]) -> str:
    """What a client writes on a terminal of 150 columns; it has to succeed."""
    controller, side = pty.openpty()
    try:
        fcntl.ioctl(controller, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 150, 0, 0))
        process = subprocess.Popen(program, stdin=side, stdout=side, stderr=side, env=daemon.environment())
        os.close(side)
        seen, deadline = b"", time.monotonic() + SECONDS
        while True:
            ready, _, _ = select.select([controller], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no end of {seen!r}"
            try:
                data = os.read(controller, 65536)
            except OSError:  # the client has ended
                data = b""
            if not data:
                break
            seen += data
        assert process.wait(SECONDS) == 0, seen
        return seen.decode(errors="replace")
    finally:
        os.close(controller)


def test_bars_on_a_terminal(machine: tuple[Daemon, str], registry: FakeRegistry) -> None:
    daemon, _ = machine
    layers = [layer("file", os.urandom(1_000_000))]
    registry.add_image("app", "1", layers, config(layers))
    (digest,) = (digest for digest, data in registry.blobs.items() if data == layers[0])
    registry.rule("GET", f"blobs/{digest}", Said(body=layers[0], piece=100_000, pause=0.05))
    name = f"{registry.host}/app:1"
    programs = (
        [docker_program(), "-H", daemon.url],
        [str(Path(sys.executable).parent / "boxship"), "--host", daemon.url],
    )
    for program in programs:
        seen = on_terminal(daemon, [*program, "pull", name])
        assert re.search(r"Downloading +\[=+>? *\] +\S+B/1\.\d+MB", seen), seen
        for text in ("Pulling from app", "Pull complete", "Status: Downloaded newer image"):
            assert text in seen, seen
        daemon.docker("tag", name, f"{registry.host}/copy:1")
        seen = on_terminal(daemon, [*program, "push", f"{registry.host}/copy:1"])
        assert "The push refers to repository" in seen and "digest: sha256:" in seen, seen
        assert "Mounted from app" in seen or "Layer already exists" in seen, seen
        daemon.docker("rmi", "-f", daemon.docker("image", "inspect", "-f", "{{.Id}}", name).stdout.strip())


def test_two_clients_draw_one_download(machine: tuple[Daemon, str], registry: FakeRegistry) -> None:
    daemon, _ = machine
    layers = [layer("file", os.urandom(600_000))]
    registry.add_image("app", "1", layers, config(layers))
    (digest,) = (digest for digest, data in registry.blobs.items() if data == layers[0])
    registry.rule("GET", f"blobs/{digest}", Said(body=layers[0], piece=50_000, pause=0.05))
    name = f"{registry.host}/app:1"
    pulling = [
        subprocess.Popen([docker_program(), "-H", daemon.url, "pull", name], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=SECONDS)[0] for process in pulling]
    assert all("Pull complete" in text or "Already exists" in text for text in told)
    assert all(process.returncode == 0 for process in pulling)
    assert registry.sent_of(digest) == len(layers[0]) and registry.count("GET", f"blobs/{digest}") == 1
    daemon.docker("rmi", name)


HELPER = """#!/bin/sh
server=$(cat)
case $1 in
get) echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"ann\\",\\"Secret\\":\\"secret\\"}" ;;
list) echo "{}" ;;
esac
"""


@contextlib.contextmanager
def client_settings(daemon: Daemon, settings: dict[str, Any]) -> Iterator[Path]:
    path = daemon.home / "client" / "config.json"
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(settings))
    try:
        yield path
    finally:
        path.unlink()
        if before is not None:
            path.write_bytes(before)


@pytest.mark.parametrize("field", ["credHelpers", "credsStore"])
def test_a_helper_keeps_the_secret(
    machine: tuple[Daemon, str], registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    daemon, _ = machine
    program = tmp_path / "docker-credential-walk"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    registry.users = {"ann": "secret"}
    layers = [layer("x")]
    registry.add_image("private", "1", layers, config(layers))
    name = f"{registry.host}/private:1"
    settings = {field: {registry.host: "walk"} if field == "credHelpers" else "walk"}
    with client_settings(daemon, settings) as path:
        for client in (daemon.docker, daemon.boxship):
            client("pull", name)
            client("push", name)
            daemon.docker("rmi", name)
        assert "secret" not in path.read_text()
    assert daemon.docker("pull", name, check=False).returncode == 1


def test_search(machine: tuple[Daemon, str], registry: FakeRegistry) -> None:
    daemon, own = machine
    found = [
        {"name": "team/app", "description": "an app", "star_count": 7, "is_official": True},
        {"name": "team/other", "description": "", "star_count": 1, "is_official": False},
    ]
    registry.rule("GET", "^/v1/search$", Said(body=json.dumps({"num_results": 2, "results": found}).encode()))

    def search(*words: str) -> list[str]:
        form = "{{.Name}} {{.StarCount}}"
        return daemon.docker("search", "--format", form, *words, f"{registry.host}/app").stdout.splitlines()

    assert search() == ["team/app 7", "team/other 1"]
    assert registry.asked[-1].query == {"q": ["app"], "n": ["25"]}
    assert search("--filter", "stars=5") == search("--filter", "is-official=true") == ["team/app 7"]
    assert search("--limit", "1") == ["team/app 7"]
    refused = daemon.docker("search", f"{own}/app", check=False)
    assert refused.returncode == 1 and f"unsupported: search at {own}" in refused.stderr


def test_disk_usage_in_detail(machine: tuple[Daemon, str], tmp_path: Path) -> None:
    daemon, _ = machine
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN head -c 3000000 /dev/urandom >/more\n")
    daemon.docker("build", "-t", "usage:1", str(tmp_path))
    box = daemon.docker("create", "usage:1").stdout.strip()
    shown = json.loads(daemon.docker("system", "df", "-v", "--format", "json").stdout)
    row, below = (
        next(row for row in shown["Images"] if row["ID"].removeprefix("sha256:")[:12] in identifier)
        for identifier in daemon.docker("image", "inspect", "-f", "{{.Id}}", "usage:1", "busybox").stdout.split()
    )
    assert row["UniqueSize"].startswith("3.0") and row["Containers"] == "1"
    assert row["SharedSize"] == below["SharedSize"] != "0B"
    assert any(row["Size"].startswith(("3.0", "6.0")) for row in shown["BuildCache"]), shown["BuildCache"]
    for words in (["df"], ["df", "-v"]):
        for last in (False, True):  # a second may turn between the two
            ours, stock = (client("system", *words).stdout for client in (daemon.boxship, daemon.docker))
            if ours == stock:
                break
            assert not last, f"{ours}\n{stock}"
    daemon.docker("rm", box)
    daemon.docker("rmi", "usage:1")


def test_the_build_cache_keeps_its_limit(tmp_path: Path) -> None:
    (tmp_path / "boxshipd.toml").write_text('build-cache-limit = "5m"\n')
    context = tmp_path / "context"
    context.mkdir()
    with running_daemon(tmp_path, "--config", str(tmp_path / "boxshipd.toml")) as daemon:
        for number in range(4):
            (context / "Dockerfile").write_text(
                f"FROM busybox\nRUN echo {number}; head -c 2000000 /dev/urandom >/more\n"
            )
            daemon.docker("build", "-q", str(context))

        def kept() -> list[dict[str, Any]]:
            words = ["curl", "-s", "--unix-socket", str(daemon.socket), "http://x/system/df?type=build-cache"]
            found: list[dict[str, Any]] = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)[
                "BuildCache"
            ]
            return found

        assert 0 < sum(record["Size"] for record in kept()) <= 5 * 1024 * 1024
        numbers = {record["Description"].partition("echo ")[2][:1] for record in kept()}
        assert "3" in numbers and "0" not in numbers  # the last is kept, the first is gone
        told = daemon.docker("builder", "prune", "-af", "--keep-storage", "1").stdout
        assert "Total reclaimed space" in told and sum(record["Size"] for record in kept()) <= 1
