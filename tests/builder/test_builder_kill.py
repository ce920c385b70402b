"""kill -9 of a real daemon in the middle of builds: nothing half-made is left, what was whole is not made again."""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import Daemon, processes_naming, running_daemon, until

DEADLINE = 30.0
TEXT = """FROM busybox AS a
COPY files /files
RUN echo a-one >/log; dd if=/dev/zero of=/big bs=1M count=20 2>/dev/null
RUN sleep 0.1; echo a-two >>/log
FROM busybox AS b
RUN --mount=type=cache,target=/cache date >>/cache/dates; echo b-one >/log
RUN sleep 0.1; echo b-two >>/log
FROM busybox
COPY --from=a /log /a
COPY --from=b /log /b
RUN cat /a /b >/all
"""


@pytest.fixture(scope="module")
def own() -> Iterator[Daemon]:
    """A daemon that may be killed."""
    with tempfile.TemporaryDirectory(prefix="bxkill") as folder, running_daemon(Path(folder)) as daemon:
        yield daemon


def start_build(daemon: Daemon, context: Path) -> "subprocess.Popen[bytes]":
    program = Path(sys.executable).parent / "boxship"
    words = [str(program), "--host", daemon.url, "build", "--progress", "plain", "-t", "app", str(context)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def leftovers(daemon: Daemon) -> list[str]:
    """Half-made things of builds, and what builds started."""
    found = [f"process {pid}" for pid in daemon.conmons() if pid != (daemon.process and daemon.process.pid)]
    folders = ("snapshots/staging", "snapshots/active", "content/ingest", "builder/contexts", "builder/contexts/.trash")
    for folder in folders:
        if (daemon.data / folder).is_dir():
            found += [f"{folder}/{name}" for name in os.listdir(daemon.data / folder) if name != ".trash"]
    return found


@pytest.mark.parametrize("rounds", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_a_build_that_was_killed_goes_on_where_it_was(own: Daemon, tmp_path: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    (tmp_path / "Dockerfile").write_text(TEXT)
    (tmp_path / "files").mkdir()
    for number in range(200):
        (tmp_path / "files" / str(number)).write_text(f"{number}\n" * 50)
    for round_number in range(rounds):
        (tmp_path / "files" / "mark").write_text(str(round_number))
        build = start_build(own, tmp_path)
        assert build.stdout is not None
        for _ in range(chance.randint(1, 40)):  # anywhere: after so many lines
            if not build.stdout.readline():
                break
        own.kill()
        build.wait(DEADLINE)
        build.stdout.close()
        own.start()
        until(lambda: not leftovers(own), DEADLINE, f"nothing half-made is left: {leftovers(own)}")
        own.boxship("build", "--progress", "plain", "-t", "app", str(tmp_path))
        first = own.docker("inspect", "-f", "{{.Id}}", "app").stdout
        again = own.boxship("build", "--progress", "plain", "-t", "app", str(tmp_path))
        assert own.docker("inspect", "-f", "{{.Id}}", "app").stdout == first, again.stderr
        assert "11 steps, 11 cached" in again.stderr
        shown = own.docker("run", "--rm", "app", "cat", "/all").stdout.split()
        assert shown == ["a-one", "a-two", "b-one", "b-two"]
    checked = own.boxship("system", "check", timeout=120)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_client_that_goes_away_ends_its_commands(own: Daemon, tmp_path: Path) -> None:
    mark = f"98{os.getpid():07}"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN sleep {mark}\n")
    build = start_build(own, tmp_path)
    until(lambda: processes_naming(mark), DEADLINE, "the command runs")
    build.kill()
    build.wait(DEADLINE)
    assert build.stdout is not None
    build.stdout.close()
    until(lambda: not processes_naming(mark), DEADLINE, "the command has ended")
    until(lambda: not leftovers(own), DEADLINE, "nothing is left")


def test_nothing_of_pruned_builds_is_left(own: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=5\n")

    def blobs() -> set[str]:
        return set(os.listdir(own.data / "content" / "blobs" / "sha256"))

    own.boxship("builder", "prune", "--all", "--force")
    before = blobs()
    own.boxship("build", "-t", "pruned", str(tmp_path))
    assert len(blobs() - before) >= 3  # layer, config, manifest
    own.docker("rmi", "pruned")
    own.boxship("builder", "prune", "--all", "--force")
    until(lambda: blobs() == before, DEADLINE, "its blobs are gone")
