"""An update under constant requests loses none, a bad one goes back, a killed one is finished by the next `up`."""

from __future__ import annotations

import collections
import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemons import Daemon, free_port, until

FILE = """\
name: load
services:
  web:
    image: busybox
    init: true
    environment: {{VERSION: "{version}"}}
    command: ["sh", "-c", "mkdir -p /w; echo $$VERSION > /w/index.html; {start}"]
    ports: ["127.0.0.1:{port}:80"]
    stop_grace_period: 1s
    deploy: {{replicas: 2}}
    healthcheck:
      test: ["CMD", "wget", "-qO-", "http://127.0.0.1/"]
      interval: 300ms
      retries: 2
      start_period: 500ms
      start_interval: 100ms
"""
SERVES = "exec httpd -f -p 80 -h /w"
WORKERS = 4


class Place:
    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon, self.folder, self.port = daemon, folder, free_port()
        self.version = ""

    def write(self, version: str, start: str = SERVES) -> None:
        self.version = version
        (self.folder / "compose.yaml").write_text(FILE.format(version=version, start=start, port=self.port))

    def command(self, *words: str) -> list[str]:
        program = Path(sys.executable).parent / "boxship"
        return [str(program), "--host", self.daemon.url, "compose", "--project-directory", str(self.folder), *words]

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    def answer(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request("GET", "/")
            reply = connection.getresponse()
            assert reply.status == 200
            return reply.read().decode().strip()
        finally:
            connection.close()

    def names(self) -> list[str]:
        own = ("--filter", "label=com.docker.compose.project=load")  # other tests' containers may still be ending
        return sorted(self.daemon.docker("ps", "-a", *own, "--format", "{{.Names}}").stdout.split())


@contextmanager
def under_load(place: Place) -> Iterator[collections.Counter[str]]:
    """Ask without a pause from several threads; not one request may fail."""
    answers: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answers[place.answer()] += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, f"{len(failures)} of {answers.total() + len(failures)} requests failed: {failures[:3]}"


@pytest.fixture
def place(daemon: Daemon, tmp_path: Path) -> Iterator[Place]:
    result = Place(daemon, tmp_path)
    yield result
    result("down", "-t", "0")


def test_an_update_under_constant_requests_loses_none(place: Place) -> None:
    place.write("1")
    place("up", "-d", "--wait")
    assert place.answer() == "1"
    with under_load(place) as answers:
        until(lambda: answers["1"] > 100, 20, "requests are answered")
        place.write("2")
        place("up", "-d")
        seen = answers["2"]
        until(lambda: answers["2"] > seen + 100, 20, "the new version answers")
        place.write("3", "sleep 1000; " + SERVES)
        failed = place("up", "-d", check=False)
    assert failed.returncode == 1
    assert 'update of service "web" failed and was rolled back: container load-web-1 is unhealthy' in failed.stderr
    assert set(answers) == {"1", "2"} and place.answer() == "2"
    assert place.names() == ["load-web-1", "load-web-2"]


@pytest.mark.slow
def test_updates_that_are_killed_lose_none_either(place: Place) -> None:
    place.write("0")
    place("up", "-d", "--wait")
    with under_load(place):
        for number in range(1, 13):
            place.write(str(number))
            killed = subprocess.Popen(place.command("up", "-d"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                killed.wait(0.4 + 0.3 * number)
            except subprocess.TimeoutExpired:
                killed.kill()
                killed.wait()
            if number % 3 == 0:
                place.write(f"{number}b")
            place("up", "-d")
            assert place.names() == ["load-web-1", "load-web-2"]
            assert {place.answer() for _ in range(6)} == {place.version}
