"""Service groups through the stock client: shared ports, names and an address, stops that lose no request, kills of the
daemon."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import groups_traffic
import pytest
from clients_box import Box

from daemons import docker_program, free_port, running_daemon, until

LABELS = ("--label", "boxship.group=shop/web", "--label", "boxship.virtual-address=shop")
HEALTH = ("--health-cmd", "wget -q -O /dev/null http://127.0.0.1/", "--health-interval", "1s", "--health-retries", "2")
SOON = (*HEALTH, "--health-start-period", "20s", "--health-start-interval", "100ms")
IN_MACHINE = ("-v", "/:/host:ro")
PROGRAM = Path(groups_traffic.__file__)


def program(*words: str) -> list[str]:
    """The traffic program, in this machine."""
    return [sys.executable, "-S", "-E", str(PROGRAM), *words]


def replica(box: Box, network: str, port: int, *flags: str, labels: tuple[str, ...] = LABELS) -> str:
    """A member that serves HTTP and is healthy when this returns."""
    name = box.name()
    publish = ("-p", f"127.0.0.1:{port}:80")
    join = ("--network", network, "--network-alias", "web")
    words = ["run", "-d", "--name", name, *join, *publish, *labels, *SOON, *IN_MACHINE, *flags, "busybox"]
    box.docker(*words, "chroot", "/host", *program("serve", name, "80"))
    box.becomes(name, "{{.State.Health.Status}}", "healthy", 30)
    return name


class Load:
    """Clients that ask without a pause: the published port from this machine, the alias and the virtual address from a
    container."""

    def __init__(self, box: Box, network: str, port: int) -> None:
        self._stop = box.folder / "stop"
        words = program("ask", str(self._stop))
        outside = subprocess.Popen([*words, f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True)
        self._inside = box.name()
        inside = ["--name", self._inside, "--network", network, *IN_MACHINE, "busybox", "chroot", "/host"]
        box.docker("run", "-d", *inside, *words, "name:web:80", "name:shop:80")
        self._outside = outside
        self._box = box

    def end(self) -> dict[str, Any]:
        """What was asked, by place."""
        self._stop.touch()
        text, _ = self._outside.communicate(timeout=30)
        self._box.docker("wait", self._inside)
        return {**json.loads(text), **json.loads(self._box.log(self._inside))}


@pytest.mark.parametrize("replacements", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_members_are_replaced_and_no_request_fails(box: Box, replacements: int) -> None:
    network, port = box.network("--subnet", "10.94.6.0/24"), free_port()
    members = [replica(box, network, port), replica(box, network, port)]
    load = Load(box, network, port)
    try:
        slowest = 0.0
        for _ in range(replacements):
            members.append(replica(box, network, port))
            begun = time.monotonic()
            box.docker("stop", members.pop(0))
            slowest = max(slowest, time.monotonic() - begun)
    finally:
        seen = load.end()
    for place, asked in seen.items():
        assert asked["failures"] == [], place
        assert asked["answers"].keys() >= set(members), place
        assert sum(asked["answers"].values()) > 50 * replacements, place
    assert slowest < 8, "connections ended, so no stop had to wait for the longest time"
    print(json.dumps({place: sum(asked["answers"].values()) for place, asked in seen.items()}), f"{slowest:.2f} s")


def heard(port: int, times: int = 20) -> set[str]:
    """The names of those who answer at a port of this machine; "-" for nobody."""
    found = set()
    for _ in range(times):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                found.add(answer.read().decode().strip())
        except OSError:
            found.add("-")
    return found


def member(box: Box, port: int, *flags: str, ready: bool = True) -> str:
    """A member that is ready as soon as it is told so, with its name as its page."""
    name = box.name()
    check = ("--health-cmd", "test -e /ready", "--health-interval", "100ms", "--health-retries", "1")
    page = f"mkdir -p /www && echo {name} > /www/index.html; {'touch /ready;' if ready else ''} exec httpd -f -h /www"
    words = ["run", "-d", "--name", name, "--stop-signal", "KILL", "-p", f"127.0.0.1:{port}:80", *check, *flags]
    box.docker(*words, "busybox", "sh", "-c", page)
    box.becomes(name, "{{.State.Health.Status}}", "healthy" if ready else "unhealthy")
    return name


def background(box: Box, *words: str) -> "subprocess.Popen[bytes]":
    """The stock client, not waited for."""
    return subprocess.Popen(
        [docker_program(), *words], env=box.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def explained(box: Box, name: str) -> str:
    return box.daemon.boxship("why", name).stdout


def test_who_answers_follows_health_pauses_and_ends(box: Box) -> None:
    port, group = free_port(), ("--label", "boxship.group=shop/web")
    a, b = member(box, port, *group), member(box, port, *group, ready=False)
    assert heard(port) == {a}
    assert "not ready: its health check fails." in explained(box, b) and "1 of 2 that run" in explained(box, b)
    box.inside(b, "touch /ready")
    box.becomes(b, "{{.State.Health.Status}}", "healthy")
    assert heard(port) == {a, b}
    box.docker("pause", a)
    assert heard(port) == {b}
    assert "not ready: it is paused." in explained(box, a)
    box.docker("unpause", a)
    assert heard(port) == {a, b}
    box.inside(a, "rm /ready")
    box.becomes(a, "{{.State.Health.Status}}", "unhealthy")
    assert heard(port) == {b}
    slow = box.up(
        "-p", f"127.0.0.1:{port}:80", *group, do="sleep 1; mkdir /www; echo slow > /www/index.html; httpd -f -h /www"
    )
    assert heard(port) == {b} and "not ready: nobody listens at its published ports yet." in explained(box, slow)
    until(lambda: heard(port) == {b, "slow"}, 10, "it is ready when it listens")
    box.docker("kill", slow)
    box.docker("kill", b)
    assert heard(port) == {a}  # better than nobody
    box.docker("start", b)
    box.becomes(b, "{{.State.Health.Status}}", "healthy")
    assert heard(port) == {b}
    box.docker("rm", "-f", b)
    assert heard(port) == {a}
    plain = box.made("-p", f"127.0.0.1:{port}:80")
    assert f"Bind for 127.0.0.1:{port} failed: port is already allocated" in box.fails("start", plain)
    assert explained(box, plain).count("group") == 0
    for labels in (("boxship.group=a b",), ("boxship.group=a", "boxship.drain=never"), ("boxship.drain=1s",)):
        flags = [word for label in labels for word in ("--label", label)]
        assert f"invalid label {labels[-1].partition('=')[0]}: " in box.fails("create", *flags, "busybox")


def test_a_stop_waits_for_connections_and_says_so(box: Box) -> None:
    port = free_port()
    flags = ("--label", "boxship.group=shop/web", "--label", "boxship.drain=1500ms")
    a = member(box, port, *flags)
    with socket.create_connection(("127.0.0.1", port)):
        stopping = background(box, "stop", a)
        until(lambda: "it has been asked to end" in explained(box, a), 10, "it leaves its group")
        assert heard(port, 3) == {"-"} and box.state(a) == "running"
        assert stopping.wait(30) == 0
    assert "1 of its connections had not ended after 1.5s" in explained(box, a)
    box.docker("start", a)
    box.becomes(a, "{{.State.Health.Status}}", "healthy")
    with socket.create_connection(("127.0.0.1", port)):
        stopping = background(box, "stop", a)
        until(lambda: "it has been asked to end" in explained(box, a), 10, "it leaves its group")
        begun = time.monotonic()
        box.docker("kill", a)  # which waits for nobody
        assert time.monotonic() - begun < 1 and stopping.wait(30) == 0
    box.docker("start", a)
    box.becomes(a, "{{.State.Health.Status}}", "healthy")
    box.docker("stop", a)
    assert "its connections had ended after" in explained(box, a)
    assert box.events("container=" + a, "event=kill").count("kill") == 3


def test_groups_outlive_kills_of_the_daemon(tmp_path: Path) -> None:
    with running_daemon(tmp_path) as daemon:
        box, port = Box(daemon, tmp_path), free_port()
        network = box.network("--subnet", "10.94.7.0/24")
        flags = ("--network", network, *LABELS)
        a, b, c = member(box, port, *flags), member(box, port, *flags), member(box, port, *flags, ready=False)
        asker = box.up("--network", network)
        address = box.inspect(a)["Boxship"]["Group"]["VirtualAddresses"][network]
        look = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -q -O - http://shop/; done"
        daemon.kill()
        assert heard(port) == {a, b}
        daemon.start()
        assert heard(port) == {a, b}
        assert set(box.inside(asker, look).split()) == {a, b}
        box.inside(c, "touch /ready")
        box.becomes(c, "{{.State.Health.Status}}", "healthy")
        assert heard(port, 40) == {a, b, c}
        with socket.create_connection(("127.0.0.1", port)):  # to one of them; it waits for this
            stopping = [background(box, "stop", name) for name in (a, b, c)]
            until(lambda: heard(port, 1) == {"-"}, 10, "all have left")
            daemon.kill()
            daemon.start()
        for process in stopping:
            process.wait(30)
        left = {name for name in (a, b, c) if box.state(name) == "running"}
        assert left
        until(lambda: heard(port, 40) == left, 20, "who waited for connections is back")
        assert box.inspect(min(left))["Boxship"]["Group"]["VirtualAddresses"] == {network: address}
        box.docker("rm", "-f", a, b, c)
        assert heard(port, 1) == {"-"}
        assert "can't resolve" in box.inside(asker, 'nslookup shop 2>&1 || echo "can\'t resolve"')


# locks


def hold(box: Box, name: str, owner: str, *, wait: bool = True) -> "subprocess.Popen[str]":
    """A client of its own that asks for a lock; its lines come as the daemon's."""
    words = ["curl", "-sN", "--unix-socket", str(box.daemon.socket), "-X", "POST"]
    place = f"http://d/boxship/locks/{name}?owner={owner}&wait={int(wait)}"
    return subprocess.Popen([*words, place], stdout=subprocess.PIPE, text=True)


def says(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    while not (text := process.stdout.readline().strip()):
        assert process.poll() is None, "it has ended"
    return dict(json.loads(text))


def test_a_lock_lasts_as_long_as_its_client(box: Box) -> None:
    name = box.name("volume")
    first = hold(box, name, "first")
    assert says(first) == {"held": True}
    refused = says(hold(box, name, "second", wait=False))
    assert refused["message"].startswith(f"{name} is locked by first since 20")
    waiting = []
    for owner in ("second", "third", "fourth"):
        waiting.append(hold(box, name, owner))
        assert says(waiting[-1])["waiting"] == "first"
    waiting[1].kill()
    begun = time.monotonic()
    first.kill()  # kill -9, as the machine's memory killer does
    assert says(waiting[0]) == {"held": True} and time.monotonic() - begun < 2
    waiting[0].terminate()
    assert says(waiting[2]) == {"held": True}
    waiting[2].terminate()
    for process in (first, *waiting):
        process.wait(10)
    last = hold(box, name, "last", wait=False)
    assert says(last) == {"held": True}
    last.terminate()
    last.wait(10)
    assert "invalid lock name" in says(hold(box, "-no", "x"))["message"]
