"""A daemon that is killed in the middle of a step leaves nothing of it behind after its next start."""

import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.sys import cgroup
from daemons import Daemon, docker_program, processes_naming, running_daemon, until

DEADLINE = 30.0  # seconds
DOCKERFILE = b"""FROM busybox
RUN mkdir /kept && echo kept > /kept/f
RUN --mount=type=cache,target=/cache --mount=type=bind,target=/bind --mount=type=tmpfs,target=/t \
    echo step > /half-made && sleep 300
"""


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="bxf") as folder, running_daemon(Path(folder)) as running:
        yield running


def begin(daemon: Daemon, folder: Path) -> "subprocess.Popen[bytes]":
    """A build that stands in its second step."""
    build = start(daemon, folder)
    until(lambda: sleeping(daemon), 20, "the second step runs")
    return build


def start(daemon: Daemon, folder: Path) -> "subprocess.Popen[bytes]":
    program = [docker_program(), "-H", daemon.url, "build", "-t", "x", str(folder)]
    environment = {**os.environ, "DOCKER_CONFIG": str(daemon.home / "client"), "DOCKER_BUILDKIT": "0"}
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def sleeping(daemon: Daemon) -> bool:
    """Whether the step's last command runs."""
    instance = (daemon.data / "instance").read_text().strip()
    for pid in cgroup.pids(cgroup.detect(), f"/boxship-{instance}"):
        try:
            if b"300" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def left(daemon: Daemon) -> list[str]:
    """What a step could leave."""
    instance = (daemon.data / "instance").read_text().strip()
    found = [str(pid) for pid in cgroup.pids(cgroup.detect(), f"/boxship-{instance}")]
    assert daemon.process is not None
    found += [f"process {pid}" for pid in processes_naming(str(daemon.home)) if pid != daemon.process.pid]
    for folder in ("snapshots/active", "snapshots/staging", "snapshots/trash", "content/ingest"):
        found += [f"{folder}/{name}" for name in os.listdir(daemon.data / folder)]
    for folder in ("builds", "bundles"):
        if (daemon.run / folder).is_dir():
            found += [f"{folder}/{name}" for name in os.listdir(daemon.run / folder)]
    mounts = Path(f"/proc/{daemon.process.pid}/mountinfo").read_text().split("\n")
    places = (f"{daemon.data}/snapshots/", f"{daemon.run}/builds")
    found += [line for line in mounts if any(place in line for place in places)]
    return found


def nothing_left(daemon: Daemon) -> None:
    """Wait for it; what is left is in the failure's text."""
    deadline = time.monotonic() + DEADLINE
    while found := left(daemon):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_kill_in_the_middle_of_a_step_leaves_nothing(daemon: Daemon) -> None:
    daemon.load_busybox()
    folder = daemon.home / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_bytes(DOCKERFILE)
    (folder / "file").write_text("f")
    for _ in range(2):
        build = begin(daemon, folder)
        daemon.kill()
        build.wait(20)
        daemon.start()
        nothing_left(daemon)
        until(lambda: len(os.listdir(daemon.data / "snapshots" / "layers")) == 2, 10, "only what records name is left")
    (folder / "Dockerfile").write_bytes(DOCKERFILE.replace(b" && sleep 300", b""))
    daemon.docker("build", "-t", "x", str(folder))
    assert daemon.docker("run", "--rm", "x", "cat", "/half-made", "/kept/f").stdout == "step\nkept\n"


def test_a_client_that_goes_away_ends_its_step(daemon: Daemon) -> None:
    daemon.load_busybox()
    folder = daemon.home / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_bytes(DOCKERFILE)
    build = begin(daemon, folder)
    build.kill()
    build.wait(20)
    nothing_left(daemon)


def test_a_kill_while_a_container_keeps_the_mount_namespace(daemon: Daemon) -> None:
    """The mounts of the step outlive the daemon then, and are taken away one by one."""
    daemon.load_busybox()
    container = daemon.docker("run", "-d", "busybox", "sleep", "600").stdout.strip()
    folder = daemon.home / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_bytes(DOCKERFILE)
    build = begin(daemon, folder)
    daemon.kill()
    build.wait(20)
    daemon.start()
    instance = (daemon.data / "instance").read_text().strip()
    (pid,) = cgroup.pids(cgroup.detect(), f"/boxship-{instance}")
    keeper = next(each for each in daemon.conmons() if daemon.process is not None and each != daemon.process.pid)
    expected = [str(pid), f"process {keeper}", f"snapshots/active/{container}", f"bundles/{container}"]

    def strange() -> list[str]:
        return [each for each in left(daemon) if each not in expected and container not in each]

    until(lambda: not strange(), DEADLINE, f"nothing of the step is left: {strange()}")
    assert daemon.docker("exec", container, "echo", "alive").stdout == "alive\n"
    daemon.docker("rm", "-f", container)
    nothing_left(daemon)


STEPS = b"""FROM busybox AS one
COPY . /app/
RUN --mount=type=cache,target=/cache echo $RANDOM$RANDOM > /app/made; rm /app/f1
WORKDIR /srv/work
FROM busybox
COPY --from=one /app /app
RUN cat /app/f2 > /copied
"""


def test_kills_at_any_moment_lose_nothing_and_leave_nothing(daemon: Daemon) -> None:
    daemon.load_busybox()
    folder = daemon.home / "context"
    folder.mkdir()
    for number in range(300):
        (folder / f"f{number}").write_text(f"file {number}\n" * 50)
    chance = random.Random(3)
    for number in range(8):
        (folder / "Dockerfile").write_bytes(STEPS + b"RUN echo %d\n" % number)
        (folder / "f0").write_text(str(number))
        build = start(daemon, folder)
        time.sleep(chance.uniform(0.05, 0.7))
        daemon.kill()
        build.wait(20)
        daemon.start()
        nothing_left(daemon)
    daemon.docker("build", "-t", "x", str(folder))
    assert daemon.docker("run", "--rm", "x", "sh", "-c", "ls /app | wc -l; head -1 /copied").stdout == "301\nfile 2\n"
    assert "damaged" not in daemon.boxship("system", "check").stdout
