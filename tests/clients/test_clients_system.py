"""What the daemon says of itself: ping, version, info, disk usage, and that it is in no swarm and has no plugins."""

import json
import os
import re
import subprocess

import pytest
from clients_box import Box, Wire

from daemons import Daemon, until

HEADERS = (
    "Api-Version: 1.51",
    "Ostype: linux",
    "Docker-Experimental: false",
    "Swarm: inactive",
    "Cache-Control: no-cache",
)


@pytest.mark.parametrize("path", ["/_ping", "/v1.24/_ping", "/v1.51/_ping"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ping(daemon: Daemon, method: str, path: str) -> None:
    with Wire(daemon) as wire:
        wire.say(f"{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
        head, _, body = wire.rest().decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    lines = {line.lower() for line in head.splitlines()}
    assert all(any(line.startswith(wanted.lower()) for line in lines) for wanted in HEADERS), head
    assert body == ("OK" if method == "GET" else "")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v1.99/version", 400, "client version 1.99 is too new. Maximum supported API version is 1.51"),
        ("/v1.20/version", 400, "client version 1.20 is too old. Minimum supported API version is 1.24"),
        ("/v1.51/nonsense", 404, "page not found"),
        ("/nonsense", 404, "page not found"),
        ("/v1.x/version", 404, "page not found"),
    ],
)
def test_versions_and_paths(daemon: Daemon, path: str, status: int, text: str) -> None:
    with Wire(daemon) as wire:
        found, body = wire.ask("GET", path)
    assert found == status
    assert text in body.decode()


def test_every_version_prefix_answers(daemon: Daemon) -> None:
    for minor in range(24, 52):
        with Wire(daemon) as wire:
            assert wire.ask("GET", f"/v1.{minor}/containers/json")[0] == 200
    with Wire(daemon) as wire:
        assert wire.ask("DELETE", "/version")[0] == 404


def test_version_and_info(box: Box) -> None:
    version = json.loads(box.docker("version", "--format", "json"))
    assert version["Server"]["ApiVersion"] == "1.51"
    assert version["Server"]["MinAPIVersion"] == "1.24"
    assert version["Server"]["Os"] == "linux"
    assert version["Server"]["KernelVersion"] == os.uname().release
    before = json.loads(box.docker("info", "--format", "json"))
    assert (before["NCPU"], before["OSType"], before["Driver"]) == (os.cpu_count(), "linux", "overlay2")
    assert before["MemTotal"] == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert before["DockerRootDir"] == str(box.daemon.data)
    assert before["Swarm"]["LocalNodeState"] == "inactive"
    assert {"crun", "runc"} & set(before["Runtimes"])
    box.up()
    box.docker("pause", box.up())
    box.made()
    after = json.loads(box.docker("info", "--format", "json"))
    counts = ("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped")
    assert [after[count] - before[count] for count in counts] == [3, 1, 1, 1]


def test_disk_usage_agrees_with_du(box: Box) -> None:
    """Whatever other tests left of images: what is told of them is what they take."""
    box.docker("builder", "prune", "--all", "--force")  # what the build cache alone has is counted elsewhere
    volume = box.volume()
    name = box.up(
        "-v",
        f"{volume}:/data",
        do="head -c 3000000 /dev/urandom >/data/x; head -c 2000000 /dev/urandom >/y; echo done; exec sleep 1000",
    )
    box.says(name, "done")
    os.sync()  # a filesystem settles the blocks of what was just written later
    identifier = box.shows(name, "{{.Id}}")
    seen: list[tuple[object, object]] = []
    named: list[tuple[str, int]] = []

    def agree() -> bool:
        """Ask again where the collector or the filesystem moved between two of the questions."""
        with Wire(box.daemon) as wire:
            usage = json.loads(wire.ask("GET", "/v1.51/system/df")[1])
        with Wire(box.daemon) as wire:
            parts = json.loads(wire.ask("GET", "/boxship/system/usage")[1])["Parts"]
        exact = next(entry for entry in usage["Volumes"] if entry["Name"] == volume)["UsageData"]
        container = next(entry for entry in usage["Containers"] if entry["Id"] == identifier)
        # Layers and blobs may be there for other reasons too, and each has its name.
        of_images = {part["Name"]: part["Size"] for part in parts if re.match("(layers|blobs): .*images", part["Name"])}
        seen[:] = [
            (exact, {"RefCount": 1, "Size": _measured(box.shows(volume, "{{.Mountpoint}}"))}),
            (container["SizeRw"], _measured(box.daemon.data / "snapshots" / "active" / identifier / "upper")),
            (usage["LayersSize"], sum(of_images.values())),
        ]
        named[:] = of_images.items()
        return all(ours == theirs for ours, theirs in seen)

    until(agree, 20.0, lambda: f"each is the same: {seen}; images: {named}")
    shown = json.loads(box.docker("system", "df", "-v", "--format", "json"))
    assert any(entry["Name"] == volume and entry["Size"].startswith("3.0") for entry in shown["Volumes"])
    with Wire(box.daemon) as wire:
        only = json.loads(wire.ask("GET", "/v1.51/system/df?type=volume")[1])
    assert not only.get("Containers")
    assert only["Volumes"]


def _measured(folder: str | os.PathLike[str]) -> int:
    """Bytes on the disk."""
    done = subprocess.run(["du", "-s", "--block-size=1", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


@pytest.mark.parametrize(
    "arguments",
    [
        ("node", "ls"),
        ("service", "ls"),
        ("secret", "ls"),
        ("config", "ls"),
        ("stack", "ls"),
        ("swarm", "leave"),
        ("swarm", "join-token", "worker"),
        ("service", "create", "busybox"),
    ],
)
def test_no_swarm(box: Box, arguments: tuple[str, ...]) -> None:
    assert "This node is not a swarm manager" in (message := box.fails(*arguments)) or "not part of a swarm" in message


def test_no_plugins(box: Box) -> None:
    assert box.docker("plugin", "ls", "-q") == ""
    assert "not found" in box.fails("plugin", "inspect", "nonsense")
    assert box.fails("plugin", "install", "nonsense")
    assert box.fails("swarm", "init")
